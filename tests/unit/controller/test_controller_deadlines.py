from datetime import timedelta
from typing import Any

from controller.decision import CreateJob, Decision
from controller.outcome import build_failure
from controller.reconcile import decide
from crds.reasons import Reason
from crds.transcriptionjob import State, Status, Transcription
from tests.support.controller_fakes import (
    NOW,
    POLICY,
    RESULT,
    SILENT,
    a_job,
    a_pod,
    a_transcription,
    apply_status,
    final,
    names,
    seen,
    status_of,
)

STARTED = Status(attempt=1)
LIMITS = {"queueSeconds": 60, "runSeconds": 600}
FAILURE = build_failure(Reason.GPU_FAULT)


def after(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


def a_running_one(**spec: Any) -> Transcription:
    fresh = a_transcription(STARTED, limits=LIMITS, **spec)
    return apply_status(fresh, decide(seen(fresh, job=a_job(ready=1)), POLICY, NOW).steps)


def test_run_deadline_wakes_when_the_pod_runs() -> None:
    fresh = a_transcription(STARTED, limits=LIMITS)
    assert decide(seen(fresh, job=a_job(ready=1)), POLICY, NOW).wake_at == after(600)
    assert decide(seen(a_running_one(), job=a_job(ready=1)), POLICY, after(9)).wake_at == after(600)


def test_queue_deadline_starts_anew_when_the_pod_is_lost() -> None:
    running = a_running_one()
    waiting = (a_pod(phase="Pending", is_unschedulable=True),)
    lost = apply_status(running, decide(seen(running, job=a_job(), pods=waiting), POLICY, after(100)).steps)
    early = decide(seen(lost, job=a_job(), pods=waiting), POLICY, after(155))
    assert (early.steps, early.wake_at) == ((), after(160))
    late = decide(seen(lost, job=a_job(), pods=waiting), POLICY, after(160))
    failure = status_of(late).failure
    assert failure is not None
    assert failure.reason == Reason.QUEUE_DEADLINE_EXCEEDED


def test_attempt_ends_in_time_when_its_pods_are_evicted_again_and_again() -> None:
    transcription = a_running_one()
    for seconds in range(50, 600, 50):
        pods = (a_pod(phase="Pending"),)
        lost = decide(seen(transcription, job=a_job(), pods=pods), POLICY, after(seconds))
        transcription = apply_status(transcription, lost.steps)
        back = decide(seen(transcription, job=a_job(ready=1)), POLICY, after(seconds + 1))
        transcription = apply_status(transcription, back.steps)
        assert transcription.status.state is State.RUNNING
    end = decide(seen(transcription, job=a_job(ready=1)), POLICY, after(600))
    assert names(end) == ["PatchStatus", "DeleteJob"]
    assert status_of(end).failure == build_failure(Reason.RUN_DEADLINE_EXCEEDED)


def test_queue_deadline_of_a_retry_counts_from_the_retry() -> None:
    status = final(State.FAILED, failure=FAILURE, start_time=NOW)
    failed = a_transcription(status, retries=1, limits=LIMITS)
    retried = apply_status(failed, decide(seen(failed), SILENT, after(1000)).steps)
    assert decide(seen(retried), SILENT, after(1059)) == Decision((CreateJob(2),), after(1060))
    end = decide(seen(retried, job=a_job(name="clip-2", created=after(1050))), SILENT, after(1060))
    failure = status_of(end).failure
    assert failure is not None
    assert failure.reason == Reason.QUEUE_DEADLINE_EXCEEDED


def test_stored_result_waits_for_its_job_when_nothing_hurries() -> None:
    stored = a_running_one().model_copy(update={"status": a_running_one().status.model_copy(update={"result": RESULT})})
    for job in (a_job(ready=1), a_job()):
        decision = decide(seen(stored, job=job), POLICY, after(30))
        assert decision.steps == ()
        assert decision.wake_at is not None
        assert decision.wake_at <= after(600)


def test_no_deadline_counts_what_was_spent_suspended_when_it_is_resumed() -> None:
    resting = a_transcription(suspend=True, limits=LIMITS | {"totalSeconds": 600})
    resting = apply_status(resting, decide(seen(resting), POLICY, NOW).steps)
    resumed = resting.model_copy(update={"spec": resting.spec.model_copy(update={"suspend": False})})
    started = decide(seen(resumed), POLICY, after(9999))
    assert names(started) == ["PatchStatus", "CreateJob"]
    waiting = apply_status(resumed, started.steps)
    job = a_job(created=after(9999), started=after(9999))
    assert "DeleteJob" not in names(decide(seen(waiting, job=job), POLICY, after(9999 + 59)))
    late = status_of(decide(seen(waiting, job=job), POLICY, after(9999 + 60))).failure
    assert late is not None
    assert late.reason == Reason.QUEUE_DEADLINE_EXCEEDED
