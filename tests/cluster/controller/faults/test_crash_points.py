"""The controller dies, ends, freezes or is lied to at each point of a transcription's life: the end is the same.

The proxy or the receiver holds the very call that marks the point, so that the process is hit exactly there. What the
API server, the bucket and the receiver hold at the end is compared with a run that nobody disturbed.
"""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from crds.reasons import Reason
from crds.transcriptionjob import OUTPUTS_FINALIZER, PLURAL
from crds.worker import build_callback_id, build_outputs_prefix
from tests.cluster.controller.faults.conftest import Stage
from tests.support.arena import build_fault
from tests.support.bucket import Bucket
from tests.support.fault_proxy import Call, FaultProxy, Hold, Lose
from tests.support.local_controller import LocalController
from tests.support.sinks import Sink
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for

NO_AUDIO = build_fault(Reason.NO_AUDIO, "The file has no audio track.")
GRACE_SECONDS = 15
PATIENCE_SECONDS = 90
UNSTEADY = {"startTime", "completionTime", "podName", "progress", "observedGeneration", "jobRef"}
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


POINTS: dict[str, Point] = {
    "o1-before-the-job": Point(creates_a_job),
    "o2-job-made": Point(creates_a_job, is_done=True),
    "o3-status-patched": Point(starts_an_attempt, is_done=True),
    "o4-end-seen": Point(latches_the_end),
    "o5-end-latched": Point(latches_the_end, is_done=True),
    "o6-callback-sent": Point(lambda _: False),  # at the receiver
    "o7-callback-answered": Point(records_the_delivery),
    "o8-outputs-deleted": Point(releases_the_outputs),
}
KINDS = ["killed", "ended", "frozen", "lied-to"]


@dataclass(frozen=True)
class End:
    """All that is left of a life, but for what differs between two that end alike."""

    status: dict[str, Any]
    labels: set[str]
    jobs: list[str]
    stored: list[str]
    told: set[bytes]
    events: list[str]


@dataclass
class Blow:
    """What hits the controller in this life."""

    held: Hold | Sink | None = None
    frozen: LocalController | None = None
    struck: "Future[None] | None" = None
    proxy: FaultProxy | None = None
    is_reached: Callable[[], bool] = field(default=lambda: True)

    def wake(self) -> None:
        """Whoever is frozen goes on, among all that has happened meanwhile; returns when it has come to rest."""
        if self.frozen is None or self.held is None or self.proxy is None or not self.held.is_reached.is_set():
            return
        assert self.struck is not None
        self.struck.result(PATIENCE_SECONDS)
        self.held.let_go()
        self.frozen.send(signal.SIGCONT)
        wait_until_quiet(self.proxy)


@pytest.fixture(scope="module")
def calm(stage_of_module: Stage, bucket: Bucket) -> End:
    """How it ends when nobody disturbs it."""
    stage_of_module.start()
    return live(stage_of_module, bucket, "calm", Blow())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", POINTS)
def test_f59_and_o1_to_o8_the_end_is_the_same_when_it_is_hit_at(
    stage: Stage, bucket: Bucket, calm: End, name: str, kind: str
) -> None:
    sweep(stage, bucket, calm, name, kind)


@pytest.mark.soak
@pytest.mark.parametrize("repeat", range(5))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", POINTS)
def test_the_end_is_the_same_again_and_again_when_it_is_hit_at(
    stage: Stage, bucket: Bucket, calm: End, name: str, kind: str, repeat: int
) -> None:
    assert repeat < 5
    sweep(stage, bucket, calm, name, kind)


def sweep(stage: Stage, bucket: Bucket, calm: End, name: str, kind: str) -> None:
    """One life with one hit."""
    if not stage.arena.controller.is_running:
        stage.start()
    stage.proxy.calls.clear()
    with hit(stage, name, kind) as blow:
        end = live(stage, bucket, name, blow)
        assert blow.is_reached(), "the point was never reached"
    assert end == calm
    made = {call.body["metadata"]["name"].rpartition("-")[2] for call in stage.proxy.seen("POST", "jobs")}
    assert made == {"1"}


def live(stage: Stage, bucket: Bucket, purpose: str, blow: Blow) -> End:
    """A whole life: it runs, fails for a reason of the file, is told, and is deleted with its files."""
    arena, name = stage.arena, an_id(purpose[:2])
    arena.ask(name=name, deleteOutputs=True)
    arena.node.end(arena.run(name, seconds=PATIENCE_SECONDS), 65, NO_AUDIO)
    arena.until_settled(name, PATIENCE_SECONDS)
    blow.wake()
    arena.until_settled(name, PATIENCE_SECONDS)
    last = arena.read(name)
    prefix = build_outputs_prefix(last.namespace, last.name, last.uid)
    bucket.put(f"{prefix}1/transcript.json", b"{}")
    jobs = [job.removeprefix(name) for job in arena.jobs_of(name)]
    arena.admin.delete(PLURAL, name)
    arena.until_gone(PLURAL, name, PATIENCE_SECONDS)
    blow.wake()
    return End(
        status=simplify(last.status.to_manifest()),
        labels=set(last.labels),
        jobs=jobs,
        stored=bucket.list(prefix),
        told={body.replace(name.encode(), b"it") for body in stage.sink.effects(build_callback_id(last.uid, 1))},
        events=sorted(wait_for_events(stage, name)),
    )


def wait_for_events(stage: Stage, name: str) -> list[str]:
    """They come beside the work, the last of them perhaps a moment later."""
    return wait_for(lambda: "Failed" in (r := stage.arena.reasons(name)) and r, PATIENCE_SECONDS, "its end is told")


def simplify(status: dict[str, Any]) -> dict[str, Any]:
    """Without times, names of pods and how often the receiver was asked."""
    kept = {key: value for key, value in status.items() if key not in UNSTEADY}
    kept["conditions"] = sorted((c["type"], c["status"], c["reason"]) for c in status["conditions"])
    kept["callback"] = {"state": status["callback"]["state"]}
    return kept


@contextmanager
def hit(stage: Stage, name: str, kind: str) -> Iterator[Blow]:
    """Hit the controller at that point while the block plays the world around it."""
    point, controller, sink, is_at_the_sink = POINTS[name], stage.arena.controller, stage.sink, name.startswith("o6")
    if kind == "lied-to":
        loss = Lose()
        sink.drop_next() if is_at_the_sink else stage.proxy.add(point.is_it, loss)
        yield Blow(is_reached=lambda: sink.has_dropped if is_at_the_sink else loss.is_taken)
        return
    held: Hold | Sink = sink if is_at_the_sink else Hold(is_done_first=point.is_done)
    sink.hold_next() if isinstance(held, Sink) else stage.proxy.add(point.is_it, held)
    twin = controller.twin()
    with ThreadPoolExecutor(1) as pool, twin:
        struck = pool.submit(strike, controller, twin, held, kind)
        yield Blow(held, controller if kind == "frozen" else None, struck, stage.proxy, held.is_reached.is_set)
        struck.result(PATIENCE_SECONDS)
        if kind == "frozen":
            controller.kill()


def strike(controller: LocalController, twin: LocalController, held: Hold | Sink, kind: str) -> None:
    """When the moment has come; another one goes on in its place."""
    held.wait()
    if kind == "frozen":
        controller.send(signal.SIGSTOP)
        twin.start()
        return
    if kind == "killed":
        controller.kill()
    else:
        controller.end_within(GRACE_SECONDS)
    held.let_go()
    controller.start()


def wait_until_quiet(proxy: FaultProxy) -> None:
    """Nobody has asked the API server for anything for a second."""
    last = [len(proxy.calls), time.monotonic()]

    def is_quiet() -> bool:
        now = time.monotonic()
        if len(proxy.calls) != last[0]:
            last[:] = [len(proxy.calls), now]
        return now - last[1] > 1

    wait_for(is_quiet, PATIENCE_SECONDS, "everybody has come to rest", 0.1)
