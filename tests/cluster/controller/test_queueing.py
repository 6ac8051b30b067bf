"""Places: a queue such as Kueue's admits and preempts, and the installation's own limit is fair between tenants."""

from collections.abc import Iterator

import pytest

from crds.reasons import WaitingReason
from crds.transcriptionjob import QUEUE_LABEL, ConditionType, State
from crds.worker import build_job_name
from tests.support.arena import Arena, OpenArena, truth
from tests.support.queueing import StandInQueue
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for


@pytest.fixture
def queue(arena: Arena) -> StandInQueue:
    """With one place."""
    return StandInQueue(arena.admin, an_id("queue"), 1)


def test_its_job_waits_for_the_queue_when_one_is_named(arena: Arena) -> None:
    name = arena.ask("queued", queueName="gpus")
    status = arena.until_state(name, State.QUEUED)
    assert status.waiting_reason == WaitingReason.JOB_SUSPENDED
    job = arena.wait_for_job(name)
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"][QUEUE_LABEL] == "gpus"
    assert arena.pods(name) == []


def test_the_queue_admits_one_after_the_other_when_it_has_one_place(arena: Arena, queue: StandInQueue) -> None:
    name = an_id("place")
    first, second = (arena.ask(name=f"{name}-{n}", queueName=queue.name) for n in (1, 2))
    for queued in (first, second):
        arena.until_state(queued, State.QUEUED)
    queue.until_admitted(build_job_name(first, 1))
    pod = arena.run(first)
    queue.step()
    assert arena.read(second).status.state is State.QUEUED
    arena.finish(first, pod)
    queue.until_admitted(build_job_name(second, 1))
    assert arena.finish(second, arena.run(second)).attempt == 1
    assert queue.preempted == []


def test_it_goes_on_in_the_same_attempt_when_the_queue_preempts_it(arena: Arena, queue: StandInQueue) -> None:
    name = arena.ask("preempted", queueName=queue.name)
    queue.until_admitted(build_job_name(name, 1))
    first = arena.run(name)
    urgent = arena.ask("urgent", queueName=queue.name, priority=f"{arena.namespace}.scribe.high")
    queue.until_admitted(build_job_name(urgent, 1))
    assert queue.preempted == [build_job_name(name, 1)]
    arena.until_deleting(first)
    arena.node.obey(first)
    status = arena.until_state(name, State.QUEUED)
    assert (status.waiting_reason, status.failure, status.start_time) == (WaitingReason.JOB_SUSPENDED, None, None)
    assert truth(status, ConditionType.RUNNING) == "False"
    arena.finish(urgent, arena.run(urgent))
    queue.until_admitted(build_job_name(name, 1))
    end = arena.finish(name, arena.run(name, but=first))
    assert (end.attempt, end.tries) == (1, 1)


def test_it_is_no_failure_when_somebody_else_suspends_its_job(arena: Arena) -> None:
    name = arena.ask("meddled")
    pod = arena.run(name)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"suspend": True}})
    status = arena.until_state(name, State.QUEUED)
    assert status.failure is None
    arena.until_deleting(pod)
    arena.node.obey(pod)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"suspend": False}})
    assert arena.finish(name, arena.run(name, but=pod)).attempt == 1


@pytest.fixture(scope="module")
def limited(open_one: OpenArena) -> Iterator[Arena]:
    """Two may be at work at once; its controller starts when a test has asked for what it wants."""
    with open_one(is_up=False, max_active="2") as made:
        yield made


def test_places_are_shared_fairly_between_tenants_when_not_all_may_run_at_once(limited: Arena) -> None:
    asked = {n: limited.ask(name=n, tenant=n[0]) for n in ("a-1", "a-2", "a-3", "a-4", "b-1", "b-2")}
    limited.controller.start()
    order = []
    while len(order) < len(asked):
        first, second = wait_for(lambda: _find_two_at_work(limited, set(asked) - set(order)), 20, "two are at work")
        if len(order) < 4:
            assert {first[0], second[0]} == {"a", "b"}, (order, first, second)
        waiting = sorted(set(asked) - set(order) - {first, second})
        for name in waiting:
            status = limited.until(name, lambda s: s.waiting_reason, f"{name} waits")
            assert (status.state, status.waiting_reason) == (State.QUEUED, WaitingReason.NO_PLACE)
            assert truth(status, ConditionType.RECONCILING) == "True"
        for name in sorted((first, second)):
            limited.finish(name, limited.run(name))
            order.append(name)
    assert [name for name in order if name[0] == "a"] == ["a-1", "a-2", "a-3", "a-4"]
    assert order[:4] == ["a-1", "b-1", "a-2", "b-2"]


def _find_two_at_work(arena: Arena, names: set[str]) -> tuple[str, str] | None:
    """Who has a Job now; there are never more than two."""
    jobs = {name for name in names if arena.jobs_of(name)}
    assert len(jobs) <= 2
    return (min(jobs), max(jobs)) if len(jobs) == 2 else None
