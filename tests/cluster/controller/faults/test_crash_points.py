"""The controller dies, ends, freezes or is lied to at each point of a transcription's life: the end is the same.

The proxy or the receiver holds the very call that marks the point, so that the process is hit exactly there. What the
API server, the bucket and the receiver hold at the end is compared with a run that nobody disturbed.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crds.reasons import Reason
from crds.transcriptionjob import OUTPUTS_FINALIZER
from tests.cluster.controller.faults.conftest import Stage
from tests.support.arena import build_fault
from tests.support.fault_proxy import Action, Call, Hold, Lose

NO_AUDIO = build_fault(Reason.NO_AUDIO, "The file has no audio track.")
GRACE_SECONDS = 15
UNSTEADY = {"startTime", "completionTime", "podName", "progress", "observedGeneration"}
"""What differs between two runs that end alike."""


@dataclass(frozen=True)
class Point:
    """Where in a life the controller is hit: the call that marks it, and whether that has taken effect by then."""

    is_it: Callable[[Call], bool]
    is_done: bool = False


def status_of(call: Call) -> dict[str, Any]:
    status = call.body.get("status", {}) if isinstance(call.body, dict) else {}
    return status if isinstance(status, dict) else {}


def creates_a_job(call: Call) -> bool:
    return (call.verb, call.resource) == ("POST", "jobs")


def starts_an_attempt(call: Call) -> bool:
    return call.resource == "transcriptionjobs/status" and status_of(call).get("attempt") == 1


def latches_the_end(call: Call) -> bool:
    return call.resource == "transcriptionjobs/status" and "completionTime" in status_of(call)


def records_the_delivery(call: Call) -> bool:
    return (
        call.resource == "transcriptionjobs/status" and status_of(call).get("callback", {}).get("state") == "Delivered"
    )


def releases_the_outputs(call: Call) -> bool:
    if (call.verb, call.resource) != ("PATCH", "transcriptionjobs"):
        return False
    body = call.body
    meta = body.get("metadata", {}) if isinstance(body, dict) else {}
    return isinstance(body, list) or ("finalizers" in meta and OUTPUTS_FINALIZER not in (meta["finalizers"] or []))


POINTS = {
    "o1-before-the-job": Point(creates_a_job),
    "o2-job-made": Point(creates_a_job, is_done=True),
    "o3-status-patched": Point(starts_an_attempt, is_done=True),
    "o4-end-seen": Point(latches_the_end),
    "o5-end-latched": Point(latches_the_end, is_done=True),
    "o6-callback-sent": Point(lambda _: False),
    "o7-callback-answered": Point(records_the_delivery),
    "o8-outputs-deleted": Point(releases_the_outputs),
}
KINDS = ["killed", "ended", "frozen", "lied-to"]


@contextmanager
def hit(stage: Stage, name: str, kind: str) -> Iterator[None]:
    """Hit the controller at that point while the block plays the world around it."""
    point, controller = POINTS[name], stage.arena.controller
    if name.startswith("o6"):
        stage.sink.drop_next() if kind == "lied-to" else stage.sink.hold_next()
    else:
        action: Action = Lose() if kind == "lied-to" else Hold(is_done_first=point.is_done)
        stage.proxy.add(point.is_it, action)
    if kind == "lied-to":
        yield
        return
    held: Hold | Any = stage.sink if name.startswith("o6") else action
    with striker(lambda: strike(stage, held, kind)):
        yield
    if kind == "frozen":
        held.let_go()
        controller.send(signal.SIGCONT)


@contextmanager
def striker(do: Callable[[], None]) -> Iterator[None]:
    """Wait for the moment in a thread of its own, while the block goes on."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        struck = pool.submit(do)
        yield
        struck.result(90)


def strike(stage: Stage, held: Any, kind: str) -> None:
    """Another controller goes on in its place."""
    held.wait()
    controller = stage.arena.controller
    if kind == "frozen":
        controller.send(signal.SIGSTOP)
        twins.append(controller.twin())
        twins[-1].start()
        return
    if kind == "killed":
        controller.kill()
    else:
        controller.end_within(GRACE_SECONDS)
    held.let_go()
    controller.start()


twins: list[Any] = []
