"""Suspend and resume: nothing runs while it rests, and going on makes the next attempt."""

import pytest

from crds.transcriptionjob import PLURAL, ConditionType, State
from crds.worker import build_job_name
from tests.support.arena import Arena, refuse, truth

TOGGLES = 6


def test_no_job_is_made_when_it_is_made_suspended(arena: Arena) -> None:
    name = arena.ask("asleep", suspend=True)
    status = arena.until_state(name, State.SUSPENDED)
    assert (status.attempt, status.job_ref) == (0, None)
    assert truth(status, ConditionType.SUSPENDED) == "True"
    assert "set spec.suspend to false" in (status.message or "")
    assert arena.jobs_of(name) == []


def test_the_worker_is_stopped_when_it_is_suspended_while_it_runs(arena: Arena) -> None:
    name = arena.ask("tired")
    pod = arena.run(name)
    arena.change(name, suspend=True)
    status = arena.until_state(name, State.SUSPENDED)
    assert (status.job_ref, status.pod_name, status.start_time) == (None, None, None)
    arena.until_deleting(pod)
    arena.node.obey(pod)
    arena.until_gone("jobs", build_job_name(name, 1))
    assert arena.read(name).status.state is State.SUSPENDED


def test_the_next_attempt_starts_when_it_is_resumed(arena: Arena) -> None:
    name = arena.ask("awake")
    arena.node.start(arena.run(name))
    arena.change(name, suspend=True)
    arena.until_state(name, State.SUSPENDED)
    arena.change(name, suspend=False)
    end = arena.finish(name, arena.run(name, 2))
    assert (end.attempt, end.tries) == (2, 1)
    assert truth(end, ConditionType.SUSPENDED) == "False"


@pytest.mark.parametrize("last", [True, False])
def test_it_comes_to_rest_as_was_said_last_when_it_is_toggled_quickly(arena: Arena, last: bool) -> None:
    name = arena.ask("toggled")
    pod = arena.run(name)
    for number in range(TOGGLES + last):
        arena.change(name, suspend=number % 2 == 0)
    generation = arena.read(name).generation
    status = arena.until(name, lambda s: s.observed_generation == generation, "the last word is heard")
    if last:
        assert status.state is State.SUSPENDED
        arena.until_deleting(pod)
        assert arena.jobs_of(name) == []
        return
    if status.attempt > 1:
        arena.until_deleting(pod)
        pod = arena.run(name, status.attempt)
    assert arena.jobs_of(name) == [build_job_name(name, status.attempt)]
    assert arena.finish(name, pod).tries == 1


def test_priority_may_change_while_it_is_suspended_and_counts_for_the_next_attempt(arena: Arena) -> None:
    name = arena.ask("changed", suspend=True)
    arena.until_state(name, State.SUSPENDED)
    arena.change(name, priority=f"{arena.namespace}.scribe.low")
    arena.change(name, suspend=False)
    pod = arena.wait_for_pod(name)
    assert pod["spec"]["priorityClassName"] == f"{arena.namespace}.scribe.low"


@pytest.mark.parametrize("suspend", [True, False])
def test_what_is_wanted_may_not_change_whether_it_runs_or_is_suspended(arena: Arena, suspend: bool) -> None:
    name = arena.ask("fixed", suspend=suspend)
    answer = arena.admin.call("PATCH", arena.admin.path(PLURAL, name), {"spec": {"resources": {"gpu": 2}}})
    assert "immutable" in refuse(answer)


def test_the_job_of_one_that_runs_is_not_changed_when_its_priority_changes(arena: Arena) -> None:
    name = arena.ask("unchanged")
    pod = arena.run(name)
    before = arena.wait_for_job(name)["spec"]
    arena.change(name, priority=f"{arena.namespace}.scribe.low")
    arena.finish(name, pod)
    after = arena.wait_for_job(name)["spec"]
    assert after | {"ttlSecondsAfterFinished": None} == before | {"ttlSecondsAfterFinished": None}


def test_deadlines_start_anew_when_it_is_resumed(arena: Arena) -> None:
    limits = {"queueSeconds": 60, "runSeconds": 60, "totalSeconds": 60}
    name = arena.ask("rested", suspend=True, limits=limits)
    arena.until_state(name, State.SUSPENDED)
    arena.turn_back(name)
    arena.change(name, priority=f"{arena.namespace}.scribe.low")
    generation = arena.read(name).generation
    rested = arena.until(name, lambda s: s.observed_generation == generation, "it was looked at")
    assert rested.state is State.SUSPENDED
    arena.change(name, suspend=False)
    assert arena.finish(name, arena.run(name)).attempt == 1


def test_it_ends_when_it_is_cancelled_while_it_is_suspended(arena: Arena) -> None:
    name = arena.ask("given-up", suspend=True)
    arena.until_state(name, State.SUSPENDED)
    arena.change(name, cancel=True)
    assert arena.until_settled(name).state is State.CANCELLED
