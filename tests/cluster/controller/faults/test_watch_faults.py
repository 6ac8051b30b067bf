"""F28 to F33: watches that are refused, cut, silent, senseless, late, repeated or lossy."""

import time
from collections.abc import Iterator

import pytest

from crds.transcriptionjob import PLURAL, State
from tests.cluster.controller.faults.conftest import Stage
from tests.support.fault_proxy import Answer
from tests.support.lives import PATIENCE_SECONDS, assert_one_job, finish, live
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for
from tests.support.watch_faults import GONE, Echo, Late, Loss, Once, Silence, WatchFault, render

KINDS = (PLURAL, "jobs")


@pytest.fixture(autouse=True)
def _running(stage: Stage) -> Iterator[None]:
    """One controller for all tests of this module, which looks at everything every five seconds.

    A watch that cannot go on ends it; then it is started again, as the kubelet would.
    """
    if not stage.arena.controller.is_running:
        stage.start(resync_seconds="5")
    with stage.kept_up():
        yield


def spoil(stage: Stage, *faults: WatchFault) -> None:
    """One for each kind; watches begin anew with it."""
    stage.proxy.watch_faults = dict(zip(KINDS, faults, strict=True))
    stage.proxy.cut_watches()


def test_f28_it_lists_anew_when_a_watch_may_not_go_on(stage: Stage) -> None:
    refusal = stage.proxy.add(lambda call: call.is_watch, Answer(410), times=2)
    stage.proxy.cut_watches()
    assert_one_job(stage.arena, live(stage.arena, "f28start"))
    assert refusal.is_taken


def test_f28_it_lists_anew_when_a_watch_says_that_it_is_too_old(stage: Stage) -> None:
    gone = [Once(render(GONE)) for _ in KINDS]
    spoil(stage, *gone)
    assert_one_job(stage.arena, live(stage.arena, "f28event"))
    assert all(fault.is_done for fault in gone)


def test_f29_it_goes_on_when_watches_end_every_second(stage: Stage) -> None:
    name, last = stage.arena.ask(name=an_id("f29")), [time.monotonic()]

    def keep_cutting() -> bool:
        if time.monotonic() - last[0] > 1:
            last[0] = time.monotonic()
            stage.proxy.cut_watches()
        return stage.arena.job(name) is not None

    wait_for(keep_cutting, PATIENCE_SECONDS, "its Job", 0.1)
    pod = stage.arena.wait_for_pod(name)
    stage.arena.node.start(pod)
    stage.arena.node.end(pod, 0, stage.arena.build_message(name))

    def is_over() -> bool:
        keep_cutting()
        return stage.arena.read(name).status.state is State.SUCCEEDED

    wait_for(is_over, PATIENCE_SECONDS, "its end", 0.1)
    assert_one_job(stage.arena, name)


def test_f30_the_resync_goes_on_when_watches_are_silent(stage: Stage) -> None:
    spoil(stage, Silence(), Silence())
    assert_one_job(stage.arena, live(stage.arena, "f30"))


ODD = b'{"type": "ODD", "object": {"metadata": {"name": "x"}}}\n'


@pytest.mark.parametrize("line", [None, ODD, b" " * 2**23 + b"\n"], ids=["cut", "unknown", "huge"])
def test_f31_it_survives_a_line_that_is_cut_unknown_or_huge(stage: Stage, line: bytes | None) -> None:
    faults = [Once(line) for _ in KINDS]
    spoil(stage, *faults)
    assert_one_job(stage.arena, live(stage.arena, "f31"))
    assert all(fault.is_done for fault in faults)


def test_f32_final_stays_final_when_events_are_late(stage: Stage) -> None:
    spoil(stage, Late(1), Late(1))
    assert_one_job(stage.arena, live(stage.arena, "f32late"))


def test_f32_final_stays_final_when_events_come_again_and_old_ones_too(stage: Stage) -> None:
    spoil(stage, Echo(), Echo())
    assert_one_job(stage.arena, live(stage.arena, "f32echo"), live(stage.arena, "f32again"))


def test_f33_what_was_lost_is_found_by_the_resync(stage: Stage) -> None:
    spoil(stage, Loss(), Loss())
    names = [stage.arena.ask(name=an_id(f"f33n{number}")) for number in range(2)]
    for name in names:
        finish(stage.arena, name)
    assert_one_job(stage.arena, *names)


def test_f30_a_silent_watch_is_reconnected_by_kopf_itself() -> None:
    """How soon is Kopf's setting; that the probe fails when it does not help is shown beside the replicas' tests."""
    from controller.handlers import build_kopf_settings

    assert (build_kopf_settings().watching.inactivity_timeout or 0) <= 70
