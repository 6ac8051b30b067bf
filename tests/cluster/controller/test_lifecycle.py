"""How an attempt goes: it completes, fails, loses its pod, its Job or its node."""

from collections.abc import Iterator

import pytest

from crds.reasons import Reason
from crds.transcriptionjob import ConditionType, State, Status
from crds.worker import build_job_name
from tests.support.arena import Arena, build_fault, truth
from tests.support.stories import Told, tell

NO_AUDIO = build_fault(Reason.NO_AUDIO, "The file has no audio track.")


def fail_once_and_complete(arena: Arena) -> Status:
    name = arena.ask("once-more")
    first = arena.run(name)
    arena.node.end(first, 85)
    return arena.finish(name, arena.run(name, but=first, seconds=40))


def lose_the_pod(arena: Arena) -> tuple[Status, int]:
    name = arena.ask("lost-pod")
    first = arena.run(name)
    arena.admin.delete("pods", first["metadata"]["name"])
    arena.node.obey(first)
    end = arena.finish(name, arena.run(name, but=first, seconds=40))
    return end, len(arena.jobs_of(name))


def fail_with(arena: Arena, exit_code: int) -> tuple[Status, int]:
    """How it stands once its first pod has failed and the Job has thought about it; and how many pods it has then."""
    name = arena.ask(f"exit-{exit_code}")
    first = arena.run(name)
    arena.node.end(first, exit_code)
    if 64 <= exit_code < 80:
        return arena.until_settled(name), len(arena.pods(name))
    second = arena.run(name, but=first, seconds=40)
    return arena.read(name).status, len({p["metadata"]["name"] for p in (first, second)})


def fail_for_a_reason_of_the_file(arena: Arena) -> tuple[Status, int]:
    return fail_with(arena, 65)


def fail_for_a_reason_that_may_pass(arena: Arena) -> tuple[Status, int]:
    return fail_with(arena, 81)


@pytest.fixture(scope="module")
def told(arena: Arena) -> Iterator[Told]:
    stories = (
        fail_once_and_complete,
        lose_the_pod,
        fail_for_a_reason_of_the_file,
        fail_for_a_reason_that_may_pass,
    )
    with tell(arena, *stories) as told:
        yield told


@pytest.mark.usefixtures("told")
def test_it_succeeds_when_its_job_completes_with_a_result(arena: Arena) -> None:
    name = arena.ask("good")
    status = arena.finish(name, arena.run(name))
    assert status.result == arena.build_result(name)
    assert truth(status, ConditionType.SUCCEEDED) == "True"
    settled = arena.until_settled(name)
    assert settled.attempt == 1
    assert arena.read(name).labels["transcription.ecg.dev/settled"] == "true"
    job = arena.job(name)
    assert job is not None
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_it_fails_with_the_workers_reason_when_its_job_fails(arena: Arena) -> None:
    name = arena.ask("bad")
    arena.node.end(arena.run(name), 65, NO_AUDIO)
    status = arena.until_settled(name)
    assert status.state is State.FAILED
    assert status.failure is not None
    assert (status.failure.reason, status.failure.exit_code) == (Reason.NO_AUDIO, 65)
    assert status.failure.message == "The file has no audio track."
    assert truth(status, ConditionType.SUCCEEDED) == "False"


def test_it_succeeds_when_its_job_completes_after_one_failure(told: Told) -> None:
    end: Status = told(fail_once_and_complete)
    assert (end.state, end.attempt, end.tries, end.replacements) == (State.SUCCEEDED, 1, 1, 1)


def test_it_fails_when_all_attempts_are_used_up(arena: Arena) -> None:
    name = arena.ask("used-up", limits={"attempts": 2})
    for attempt in (1, 2):
        arena.node.end(arena.run(name, attempt), 96)
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.GPU_FAULT
    assert (status.attempt, status.tries) == (2, 2)
    assert arena.job(name, 3) is None


def test_it_fails_at_once_when_the_exit_code_is_a_permanent_one(told: Told) -> None:
    status, pods = told(fail_for_a_reason_of_the_file)
    assert (status.state, status.attempt, pods) == (State.FAILED, 1, 1)


def test_its_job_tries_again_when_the_exit_code_is_a_transient_one(told: Told) -> None:
    status, pods = told(fail_for_a_reason_that_may_pass)
    assert (status.state, status.attempt, pods) == (State.RUNNING, 1, 2)


def test_a_permanent_exit_code_counts_when_the_pod_was_disrupted_too(arena: Arena) -> None:
    name = arena.ask("order")
    pod = arena.run(name)
    arena.node.mark(pod, "DisruptionTarget")
    arena.node.end(pod, 65, NO_AUDIO)
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.NO_AUDIO
    assert len(arena.pods(name)) == 1


def test_it_recovers_in_the_same_job_when_its_pod_is_deleted_while_it_runs(told: Told) -> None:
    end, jobs = told(lose_the_pod)
    assert (end.state, end.attempt, end.replacements, jobs) == (State.SUCCEEDED, 1, 1, 1)


def test_it_recovers_in_another_job_when_its_job_is_deleted_by_hand(arena: Arena) -> None:
    name = arena.ask("lost-job")
    first = arena.run(name)
    old = arena.wait_for_job(name)["metadata"]["uid"]
    arena.admin.delete("jobs", build_job_name(name, 1))
    arena.until_deleting(first)
    arena.node.obey(first)
    end = arena.finish(name, arena.run(name, but=first))
    assert (end.attempt, end.tries) == (1, 1)
    job = arena.job(name)
    assert job is not None
    assert job["metadata"]["uid"] != old


def test_it_fails_when_its_job_completes_without_a_result(arena: Arena) -> None:
    name = arena.ask("empty-handed")
    arena.node.end(arena.run(name), 0)
    status = arena.until_settled(name)
    assert status.state is State.FAILED
    assert status.failure is not None
    assert status.failure.reason == Reason.RESULT_MISSING
    assert status.failure.retryable


def test_it_fails_when_its_job_completes_with_a_result_that_is_not_its_own(arena: Arena) -> None:
    name = arena.ask("forged")
    arena.node.end(arena.run(name), 0, arena.build_message(name).replace(name, "another"))
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.RESULT_MISSING


def test_progress_of_an_attempt_is_refused_when_the_next_one_has_started(arena: Arena) -> None:
    name = arena.ask("late")
    first = arena.run(name)
    worker = arena.a_worker_in(name, first)
    answer = arena.door.report(worker, {"progress": worker.progress(percent=40)})
    assert answer.status_code == 200, answer.text
    arena.node.end(first, 96)
    arena.until_attempt(name, 2)
    late = arena.door.report(worker, {"progress": worker.progress(percent=50)})
    assert late.status_code == 403, late.text
    second = arena.run(name, 2)
    again = arena.door.report(worker, {"progress": worker.progress(percent=60), "result": worker.result()})
    assert again.status_code == 403, again.text
    status = arena.finish(name, second)
    assert status.result is not None
    assert f"/{name}/" in status.result.key
    assert status.result.key.endswith("/2/transcript.json")


def test_a_retry_makes_the_next_attempt_with_a_job_of_its_own(arena: Arena) -> None:
    name = arena.ask("retried")
    arena.node.end(arena.run(name), 65, NO_AUDIO)
    arena.until_settled(name)
    arena.retry(name)
    end = arena.finish(name, arena.run(name, 2))
    assert (end.attempt, end.failure) == (2, None)
    assert truth(end, ConditionType.STALLED) == "False"
