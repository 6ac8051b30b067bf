"""F16 to F23: a controller that is killed, down, doubled, flooded, or meets what makes no sense."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from crds.transcriptionjob import PLURAL, State
from tests.cluster.controller.faults.conftest import Stage
from tests.support.arena import Arena
from tests.support.fault_proxy import Answer, Call, Hold
from tests.support.kubectl import Manifest
from tests.support.lives import PATIENCE_SECONDS, assert_one_job, finish, live
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for
from tests.support.watch_faults import Nonsense

STATUS = "transcriptionjobs/status"


def is_call(verb: str, resource: str, name: str = "") -> Callable[[Call], bool]:
    return lambda call: (call.verb, call.resource) == (verb, resource) and call.name.startswith(name)


@pytest.fixture(autouse=True)
def _running(stage: Stage) -> None:
    if not stage.arena.controller.is_running:
        stage.start()


def kill_between_create_and_status(stage: Stage) -> None:
    held = Hold(is_done_first=True)
    stage.proxy.add(is_call("POST", "jobs"), held)
    name = stage.arena.ask(name=an_id("f16"))
    held.wait()
    stage.arena.controller.kill()
    held.let_go()
    stage.start()
    finish(stage.arena, name)
    assert_one_job(stage.arena, name)


def test_f16_one_job_is_made_when_it_is_killed_between_its_creation_and_the_status(stage: Stage) -> None:
    kill_between_create_and_status(stage)


@pytest.mark.soak
@pytest.mark.parametrize("repeat", range(100))
def test_f16_one_job_is_made_each_time(stage: Stage, repeat: int) -> None:
    assert repeat < 100
    kill_between_create_and_status(stage)


def kill_again_and_again(stage: Stage, jobs: int, kills: int) -> None:
    """Each new one is killed as soon as it has made something of its own."""
    arena = stage.arena
    names: list[str] = []
    for _ in range(kills):
        stage.proxy.calls.clear()
        names += [arena.ask(name=an_id(f"f17n{number}")) for number in range(jobs // kills)]
        wait_for(lambda: stage.proxy.seen("POST", "jobs"), 30, "it is at work", 0.05)
        arena.controller.kill()
        stage.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: finish(arena, name), names))
    assert_one_job(arena, *names)


def test_f17_every_job_is_done_once_when_it_is_killed_again_and_again(stage: Stage) -> None:
    kill_again_and_again(stage, jobs=24, kills=2)


@pytest.mark.soak
def test_f17_every_job_is_done_once_when_it_is_killed_for_long(stage: Stage) -> None:
    for _ in range(10):
        kill_again_and_again(stage, jobs=50, kills=4)


def test_f18_it_catches_up_when_it_was_down_for_a_whole_life(stage: Stage) -> None:
    arena = stage.arena
    name = arena.ask(name=an_id("f18"), callback={"url": stage.sink.url})
    pod = arena.wait_for_pod(name)
    arena.controller.kill()
    arena.node.start(pod)
    arena.node.end(pod, 65, '{"failure": {"reason": "NoAudio", "message": "No sound."}}')
    wait_for(lambda: "Failed" in str(arena.job(name)), PATIENCE_SECONDS, "the Job is over")
    stage.start()
    assert arena.until_settled(name, 10).state is State.FAILED
    assert [body for _, body in stage.sink.ledger if name.encode() in body]


def test_f19_each_job_is_made_once_when_two_are_at_work(stage: Stage) -> None:
    twin = stage.arena.controller.twin()
    with twin:
        twin.start()
        names = [stage.arena.ask(name=an_id(f"f19n{number}")) for number in range(10)]
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(lambda name: finish(stage.arena, name), names))
    assert_one_job(stage.arena, *names)


def is_told_to_end(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def test_f20_nothing_is_left_when_it_is_deleted_while_nobody_looks(stage: Stage) -> None:
    arena = stage.arena
    plain, holding = arena.ask(name=an_id("f20a")), arena.ask(name=an_id("f20b"), deleteOutputs=True)
    for name in (plain, holding):
        arena.run(name)
    arena.controller.kill()
    for name in (plain, holding):
        arena.admin.delete(PLURAL, name)
    arena.until_gone(PLURAL, plain)
    for pod in arena.pods(plain):
        arena.node.obey(pod)
    assert arena.admin.get(PLURAL, holding) is not None
    stage.start()
    for pod in wait_for(lambda: [p for p in arena.pods(holding) if is_told_to_end(p)], 30, "its pod is told to end"):
        arena.node.obey(pod)
    arena.until_gone(PLURAL, holding, 30)
    for name in (plain, holding):
        wait_for(lambda name=name: not arena.jobs_of(name) and not arena.pods(name), 30, "no Job and no pod is left")


def test_f21_others_go_on_when_one_makes_no_sense(stage: Stage) -> None:
    odd = an_id("f21odd")
    stage.proxy.watch_faults = {PLURAL: Nonsense(odd)}
    stage.proxy.cut_watches()
    stage.arena.ask(name=odd)
    assert_one_job(stage.arena, live(stage.arena, "f21"))
    assert stage.arena.jobs_of(odd) == []
    assert stage.arena.controller.lines("unreadable transcription", transcription=f"{stage.arena.namespace}/{odd}")


def flood(stage: Stage, count: int, max_active: int) -> None:
    arena = stage.arena
    arena.controller.kill()
    stage.start(max_active=str(max_active))
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: arena.ask(name=an_id(f"f22n{n}"), tenant=f"team-{n % 4}"), range(count)))
    try:
        wait_for(lambda: all(arena.read(name).status.state for name in names), PATIENCE_SECONDS, "all are seen", 1)
        wait_for(lambda: count_live_jobs(arena) >= max_active, PATIENCE_SECONDS, "all places are taken")
        assert count_live_jobs(arena) == max_active
    finally:
        arena.controller.kill()  # it would start the next ones, whose pods nobody ends on a simulated node
        pods = arena.admin.list("pods")
        for name in names:
            arena.admin.delete(PLURAL, name)
        for pod in pods:
            arena.node.remove(pod)
        stage.start(max_active="0")
    assert_one_job(arena, live(arena, "f22after"))


def count_live_jobs(arena: Arena) -> int:
    return sum(1 for job in arena.admin.list("jobs") if not job.get("status", {}).get("conditions"))


def test_f22_no_more_than_allowed_are_at_work_when_many_come_at_once(stage: Stage) -> None:
    flood(stage, 100, 8)


@pytest.mark.soak
def test_f22_no_more_than_allowed_are_at_work_when_a_thousand_come_at_once(stage: Stage) -> None:
    flood(stage, 1000, 40)


def test_f23_others_go_on_when_nothing_works_for_one(stage: Stage) -> None:
    poison = an_id("f23x")
    stage.proxy.add(lambda call: poison in call.name and not call.is_watch, Answer(500), times=None)
    stage.proxy.calls.clear()
    stage.arena.ask(name=poison)
    wait_for(lambda: len(stage.proxy.seen("PATCH", STATUS, poison)) >= 4, 30, "it is tried again and again")
    assert_one_job(stage.arena, live(stage.arena, "f23"))
    times = [call.time for call in stage.proxy.seen("PATCH", STATUS, poison)]
    waits = [after - before for before, after in pairwise(times)]
    assert waits[2] > waits[0] * 2
    stage.proxy.clear()
    finish(stage.arena, poison)
