"""F24 to F27, F34, F35, F37, F38: an API server that is away, busy, slow, forgetful or says no."""

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from crds.transcriptionjob import PLURAL, State
from tests.cluster.controller.faults.conftest import Stage
from tests.support.fault_proxy import Action, Answer, Call, Delay, Lose
from tests.support.lives import PATIENCE_SECONDS, assert_one_job, live
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for

OUTAGE_SECONDS = 5
STATUS = "transcriptionjobs/status"


def is_call(verb: str, resource: str, name: str = "") -> Callable[[Call], bool]:
    return lambda call: (call.verb, call.resource) == (verb, resource) and call.name.startswith(name)


def is_write(call: Call) -> bool:
    return call.verb != "GET" and call.resource != "events"


class Meddler(Action):
    """Somebody changes the resource just before each write arrives."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.count = 0

    async def before(self, call: Call) -> None:
        self.count += 1
        note = {"metadata": {"annotations": {"note": str(self.count)}}}
        await asyncio.to_thread(self._stage.arena.admin.patch, PLURAL, call.name.partition("/")[0], note)


@pytest.fixture(autouse=True)
def _running(stage: Stage) -> None:
    """One controller for all tests of this module."""
    if not stage.arena.controller.is_running:
        stage.start()


def test_f24_it_goes_on_when_the_api_server_is_back(stage: Stage) -> None:
    name = stage.arena.ask(name=an_id("f24"))
    pod = stage.arena.run(name)
    stage.proxy.is_down = True
    stage.proxy.cut_watches()
    stage.arena.node.end(pod, 0, stage.arena.build_message(name))
    late = stage.arena.ask(name=an_id("f24late"))
    down_since = time.monotonic()
    wait_for(lambda: time.monotonic() - down_since > OUTAGE_SECONDS, 30, "the outage has lasted", 0.2)
    assert stage.arena.read(name).status.state is State.RUNNING
    stage.proxy.clear()
    stage.arena.until_state(name, State.SUCCEEDED, 30)
    stage.arena.run(late, seconds=30)
    assert_one_job(stage.arena, late)


def test_f25_it_completes_when_one_call_in_ten_fails(stage: Stage) -> None:
    dice = random.Random(25)
    for code in (500, 503, 504):
        stage.proxy.add(lambda call: not call.is_watch and dice.random() < 0.035, Answer(code), times=None)
    stage.proxy.add(lambda call: is_write(call) and dice.random() < 0.05, Lose(), times=None)
    for number in range(5):
        assert_one_job(stage.arena, live(stage.arena, f"f25n{number}"))


def test_f26_it_waits_as_long_as_the_api_server_asks_when_it_is_busy(stage: Stage) -> None:
    busy = stage.proxy.add(is_call("POST", "jobs"), Answer(429, {"Retry-After": "2"}))
    stage.proxy.calls.clear()
    name = live(stage.arena, "f26")
    assert busy.is_taken
    first, second = [
        call.time for call in stage.proxy.seen("POST", "jobs") if call.body["metadata"]["name"].startswith(name)
    ]
    assert second - first >= 2
    assert_one_job(stage.arena, name)


@pytest.mark.parametrize(("verb", "resource"), [("POST", "jobs"), ("PATCH", STATUS), ("PATCH", "transcriptionjobs")])
def test_f27_nothing_is_done_twice_when_the_answer_was_lost(stage: Stage, verb: str, resource: str) -> None:
    lost = stage.proxy.add(is_call(verb, resource), Lose())
    assert_one_job(stage.arena, live(stage.arena, "f27"))
    assert lost.is_taken


def test_f34_it_reads_anew_when_another_writer_was_faster(stage: Stage) -> None:
    meddler = Meddler(stage)
    stage.proxy.add(is_call("PATCH", STATUS), meddler, times=3)
    name = live(stage.arena, "f34")
    assert meddler.count == 3
    assert_one_job(stage.arena, name)


@pytest.mark.parametrize("code", [401, 403])
def test_f35_it_goes_on_when_its_rights_are_back(stage: Stage, code: int) -> None:
    stage.proxy.add(is_write, Answer(code), times=4)
    assert_one_job(stage.arena, live(stage.arena, f"f35c{code}"))


def test_f35_it_goes_on_when_its_role_was_taken_and_given_back(stage: Stage) -> None:
    arena, binding = stage.arena, "scribe-controller"
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{arena.namespace}/rolebindings"
    stored = arena.admin.ask("GET", f"{path}/{binding}")
    kept = {key: stored[key] for key in ("roleRef", "subjects")} | {"metadata": {"name": binding}}
    arena.admin.ask("DELETE", f"{path}/{binding}")
    stage.proxy.calls.clear()
    name = arena.ask(name=an_id("f35role"))
    stage.proxy.cut_watches()
    wait_for(lambda: stage.arena.controller.lines("") and not arena.jobs_of(name), 10, "it has no rights", 0.2)
    arena.admin.ask("POST", path, kept)
    arena.run(name, seconds=PATIENCE_SECONDS)
    assert_one_job(stage.arena, name)


def test_f37_messages_are_cut_when_they_are_too_long(stage: Stage) -> None:
    name = stage.arena.ask(name=an_id("f37"))
    pod = stage.arena.run(name)
    stage.proxy.calls.clear()
    words = '{"failure": {"reason": "InternalError", "message": "' + "x" * 3900 + '"}}'
    stage.arena.node.end(pod, 85, words)
    failed = stage.arena.wait_for_pod(name, but=pod, seconds=40)
    stage.arena.node.end(failed, 65, words)
    status = stage.arena.until_settled(name, PATIENCE_SECONDS)
    assert status.failure is not None
    assert len(status.failure.message) == 512
    assert len(stage.proxy.seen("PATCH", STATUS, name)) < 10


def test_f38_it_completes_once_when_every_call_takes_two_seconds(stage: Stage) -> None:
    stage.proxy.add(lambda call: not call.is_watch, Delay(2), times=None)
    assert_one_job(stage.arena, live(stage.arena, "f38"))
