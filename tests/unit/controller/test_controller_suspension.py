"""Suspended by the user, or by a queue that owns the Job's place."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.decision import CreateJob, Decision, DeleteJob
from controller.outcome import build_failure
from controller.reconcile import decide
from crds.reasons import Reason, WaitingReason
from crds.transcriptionjob import ConditionType, State, Status, Transcription
from tests.support.controller_fakes import (
    NOW,
    POLICY,
    RESULT,
    SILENT,
    a_failed_pod,
    a_job,
    a_pod,
    a_transcription,
    an_outcome,
    apply_status,
    condition_of,
    final,
    names,
    seen,
    status_of,
)

AT_WORK = a_pod(is_ready=True)
READY = a_job(ready=1)
WEEKS = NOW + timedelta(days=30)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def change(transcription: Transcription, **spec: Any) -> Transcription:
    changed = transcription.spec.model_copy(update=spec)
    return transcription.model_copy(update={"spec": changed, "generation": transcription.generation + 1})


def a_running_one(**spec: Any) -> Transcription:
    fresh = a_transcription(Status(attempt=1, tries=1), **spec)
    return apply_status(fresh, decide(seen(fresh, job=READY, pods=(AT_WORK,)), POLICY, NOW).steps)


def a_suspended_one() -> Transcription:
    asked = change(a_running_one(), suspend=True)
    return apply_status(asked, decide(seen(asked, job=READY, pods=(AT_WORK,)), POLICY, after(60)).steps)


def test_job_goes_and_no_deadline_runs_when_it_is_suspended() -> None:
    asked = change(a_running_one(), suspend=True)
    decision = decide(seen(asked, job=READY, pods=(AT_WORK,)), POLICY, after(60))
    assert names(decision) == ["PatchStatus", "DeleteJob"]
    assert decision.wake_at is None
    status = status_of(decision)
    assert (status.state, status.waiting_reason) == (State.SUSPENDED, WaitingReason.SUSPENDED)
    assert (status.job_ref, status.pod_name, status.start_time) == (None, None, None)
    assert condition_of(status, "Suspended").status == "True"
    assert not status.has_attempt


def test_nothing_happens_when_it_stays_suspended() -> None:
    assert decide(seen(a_suspended_one()), POLICY, WEEKS) == Decision()


def test_nothing_is_made_when_it_is_suspended_from_the_start() -> None:
    decision = decide(seen(a_transcription(suspend=True)), POLICY, NOW)
    assert names(decision) == ["PatchStatus"]
    assert (status_of(decision).state, status_of(decision).attempt) == (State.SUSPENDED, 0)


def test_next_attempt_starts_uncharged_when_it_is_resumed() -> None:
    decision = decide(seen(change(a_suspended_one(), suspend=False)), POLICY, after(90))
    assert names(decision) == ["PatchStatus", "CreateJob"]
    status = status_of(decision)
    assert (status.attempt, status.tries, status.state) == (2, 1, State.PENDING)
    assert condition_of(status, "Suspended").status == "False"


def test_deadlines_start_anew_when_it_was_suspended_for_weeks() -> None:
    resumed = change(a_suspended_one(), suspend=False)
    decision = decide(seen(resumed), POLICY, WEEKS)
    assert names(decision) == ["PatchStatus", "CreateJob"]
    assert decision.wake_at == WEEKS + timedelta(seconds=10)
    in_line = decide(seen(resumed, has_place=False), POLICY, WEEKS)
    assert status_of(in_line).waiting_reason == WaitingReason.NO_PLACE
    assert in_line.wake_at == WEEKS + timedelta(days=1)


def test_run_that_was_suspended_leaves_no_job_while_it_waits_in_line() -> None:
    resumed = change(a_suspended_one(), suspend=False)
    decision = decide(seen(resumed, others=(READY,), has_place=False), POLICY, after(90))
    assert names(decision) == ["PatchStatus", "DeleteJob"]


def test_job_of_the_attempt_before_goes_first_when_it_is_resumed_at_once() -> None:
    resumed = change(a_suspended_one(), suspend=False)
    decision = decide(seen(resumed, others=(READY,)), POLICY, after(61))
    assert decision.steps[1:] == (DeleteJob(READY), CreateJob(2))


def test_toggle_that_nobody_saw_changes_nothing_but_the_generation() -> None:
    toggled = change(change(a_running_one(), suspend=True), suspend=False)
    decision = decide(seen(toggled, job=READY, pods=(AT_WORK,)), POLICY, after(60))
    assert names(decision) == ["PatchStatus"]
    assert status_of(decision).attempt == 1


@pytest.mark.parametrize("stored", ["in the status", "in the last words of its pod"])
@pytest.mark.parametrize("asked", [{"suspend": True}, {"cancel": True}])
def test_result_counts_when_it_is_stored_before_the_wish_is_seen(asked: dict[str, bool], stored: str) -> None:
    running = change(a_running_one(), **asked)
    pods = (a_pod(exit_code=0, termination_message=an_outcome(RESULT)),)
    if stored == "in the status":
        running = running.model_copy(update={"status": running.status.model_copy(update={"result": RESULT})})
        pods = (AT_WORK,)
    status = status_of(decide(seen(running, job=READY, pods=pods), POLICY, after(60)))
    assert (status.state, status.result) == (State.SUCCEEDED, RESULT)


def test_result_counts_when_the_last_pod_stores_it_while_it_is_suspended() -> None:
    late = a_suspended_one()
    late = late.model_copy(update={"status": late.status.model_copy(update={"result": RESULT})})
    assert status_of(decide(seen(late), POLICY, after(70))).state is State.SUCCEEDED


def test_cancel_ends_it_when_it_is_suspended() -> None:
    status = status_of(decide(seen(change(a_suspended_one(), cancel=True)), POLICY, after(90)))
    assert status.state is State.CANCELLED
    assert condition_of(status, "Suspended").status == "False"


def test_cancel_wins_when_it_comes_with_suspend() -> None:
    both = change(a_running_one(), suspend=True, cancel=True)
    decision = decide(seen(both, job=READY, pods=(AT_WORK,)), POLICY, after(90))
    assert status_of(decision).state is State.CANCELLED
    assert names(decision)[:2] == ["PatchStatus", "DeleteJob"]


def test_failed_attempt_is_not_repeated_when_it_is_suspended_meanwhile() -> None:
    asked = change(a_running_one(), suspend=True)
    failed = a_job(ended="Failed", failed=1)
    decision = decide(seen(asked, job=failed, pods=(a_failed_pod(96),)), POLICY, after(60))
    assert names(decision) == ["PatchStatus"]
    assert status_of(decision).state is State.SUSPENDED


def test_retry_waits_when_it_is_suspended() -> None:
    failed = a_transcription(final(State.FAILED, failure=build_failure(Reason.GPU_FAULT)), retries=1, suspend=True)
    assert decide(seen(failed), SILENT, NOW) == Decision()
    assert names(decide(seen(change(failed, suspend=False)), SILENT, NOW)) == ["PatchStatus", "CreateJob"]


def test_retry_that_was_asked_before_the_failure_is_kept_when_it_is_resumed() -> None:
    resumed = change(a_suspended_one(), suspend=False, retries=1)
    assert status_of(decide(seen(resumed), POLICY, after(90))).retries == 0


def test_run_starts_anew_when_the_queue_preempts_it_and_lets_it_on_again() -> None:
    transcription = a_running_one(queueName="gpus")
    for round_ in range(30):
        at = after(100 * round_ + 100)
        preempted = decide(seen(transcription, job=a_job(is_suspended=True)), POLICY, at)
        transcription = apply_status(transcription, preempted.steps)
        status = transcription.status
        assert (status.state, status.waiting_reason) == (State.QUEUED, WaitingReason.JOB_SUSPENDED)
        assert (status.attempt, status.start_time, status.failure) == (1, None, None)
        pods = (replace(AT_WORK, name=f"clip-1-{round_}"),)
        admitted = decide(seen(transcription, job=a_job(ready=1, started=at), pods=pods), POLICY, at)
        transcription = apply_status(transcription, admitted.steps)
        assert transcription.status.state is State.RUNNING
        assert transcription.status.replacements == 0


def test_run_fails_when_it_is_disrupted_for_ever() -> None:
    transcription, rounds = a_running_one(), 0
    while transcription.status.failure is None:
        rounds += 1
        pods = (replace(AT_WORK, name=f"clip-1-{rounds}"),)
        decision = decide(seen(transcription, job=READY, pods=pods), POLICY, after(rounds))
        transcription = apply_status(transcription, decision.steps)
    assert rounds == 22
    assert transcription.status.failure.reason == Reason.TOO_MANY_DISRUPTIONS


def test_pods_that_failed_are_no_disruptions() -> None:
    status = a_running_one().status.model_copy(update={"replacements": 21})
    running = a_running_one().model_copy(update={"status": status})
    pods = (AT_WORK,)
    assert status_of(decide(seen(running, job=READY, pods=pods), POLICY, NOW)).state is State.FAILED
    assert decide(seen(running, job=a_job(ready=1, failed=1), pods=pods), POLICY, NOW).steps == ()


def test_job_waits_in_its_queue_when_it_is_made_suspended() -> None:
    fresh = a_transcription(Status(attempt=1), queueName="gpus")
    decision = decide(seen(fresh, job=a_job(is_suspended=True)), POLICY, after(1))
    status = status_of(decision)
    assert (status.state, status.waiting_reason) == (State.QUEUED, WaitingReason.JOB_SUSPENDED)
    assert status.condition(ConditionType.SUSPENDED) is None


def test_transcription_is_left_alone_when_another_controller_manages_it() -> None:
    status = Status(attempt=1, job_ref={"name": "clip-1"})
    managed = a_transcription(status, managedBy="kueue.x-k8s.io/multikueue", cancel=True)
    assert decide(seen(managed, job=READY), POLICY, WEEKS) == Decision()
