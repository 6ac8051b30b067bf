from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.deadlines import Deadline, find_deadline
from controller.decision import CreateJob, Decision, DeleteJob, Unsettle
from controller.delivery import Report, build_record
from controller.outcome import build_failure
from controller.reconcile import decide, fail
from crds.reasons import Reason
from crds.transcriptionjob import SETTLED_LABEL, CallbackRecord, CallbackState, State, Status
from tests.support.controller_fakes import (
    NOW,
    POLICY,
    RESULT,
    SILENT,
    UID,
    a_job,
    a_transcription,
    apply_status,
    condition_of,
    final,
    names,
    seen,
    status_of,
)

ID = f"msg_{UID}_1"
STARTED = Status(attempt=1)
LATER = NOW + timedelta(seconds=60)
LABELS = {SETTLED_LABEL: "true"}
TURBO = replace(SILENT, default_model="turbo")
FAILURE = build_failure(Reason.GPU_FAULT)
COMPLETE = a_job(ended="Complete")
FAILED = a_job(ended="Failed", ended_reason="BackoffLimitExceeded", failed=1)


def a_record(**changes: Any) -> CallbackRecord:
    return CallbackRecord(state=CallbackState.PENDING, id=ID).model_copy(update=changes)


def test_end_is_settled_in_one_pass_when_the_worker_has_delivered() -> None:
    status = Status(attempt=1, result=RESULT, callback=a_record(state=CallbackState.DELIVERED, attempts=1))
    decision = decide(seen(a_transcription(status), job=COMPLETE), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    assert status_of(decision).settled
    assert condition_of(status_of(decision), "CallbackDelivered").status == "True"


def test_end_is_settled_in_one_pass_when_nobody_is_to_be_told() -> None:
    decision = decide(seen(a_transcription(Status(attempt=1, result=RESULT)), job=COMPLETE), SILENT, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    assert status_of(decision).callback is None


@pytest.mark.parametrize(("segments", "is_empty"), [(None, False), (0, True), (1, False)])
def test_the_message_says_so_when_nothing_was_said(segments: int | None, is_empty: bool) -> None:
    result = RESULT.model_copy(update={"segments": segments})
    decision = decide(seen(a_transcription(Status(attempt=1, result=result)), job=COMPLETE), SILENT, NOW)
    assert ("no speech was found" in (status_of(decision).message or "")) is is_empty


def test_outbox_waits_out_the_schedule_when_the_workers_try_failed() -> None:
    record = a_record(attempts=1, last_status_code=503, last_attempt_time=NOW)
    status = Status(attempt=1, result=RESULT, callback=record)
    decision = decide(seen(a_transcription(status), job=COMPLETE), POLICY, NOW)
    assert names(decision) == ["PatchStatus"]
    assert (decision.deliver, decision.wake_at) == (False, NOW + timedelta(seconds=5))
    after = apply_status(a_transcription(status), decision.steps)
    due = decide(seen(after, job=COMPLETE), POLICY, NOW + timedelta(seconds=5))
    assert due == Decision(deliver=True)


def test_label_comes_when_the_outbox_has_delivered() -> None:
    status = final(State.FAILED, failure=build_failure(Reason.NO_AUDIO), callback=a_record(next_attempt_time=NOW))
    decision = decide(seen(a_transcription(status), report=Report(ID, NOW, 204)), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    record = status_of(decision).callback
    assert record is not None
    assert (record.state, record.attempts, record.last_status_code) == (CallbackState.DELIVERED, 1, 204)


def test_report_is_ignored_when_it_is_about_an_earlier_attempt() -> None:
    status = final(State.FAILED, failure=build_failure(Reason.NO_AUDIO), callback=a_record(next_attempt_time=LATER))
    decision = decide(seen(a_transcription(status), report=Report(f"msg_{UID}_0", NOW, 204)), POLICY, NOW)
    record = status_of(decision).callback
    assert record is not None
    assert record.state is CallbackState.PENDING


def test_callback_is_sent_again_when_redeliveries_rises() -> None:
    record = a_record(state=CallbackState.DELIVERED, attempts=3)
    status = final(State.SUCCEEDED, result=RESULT, callback=record, settled=True)
    decision = decide(seen(a_transcription(status, redeliveries=1)), POLICY, NOW)
    assert decision.deliver
    assert names(decision) == ["PatchStatus"]
    new = status_of(decision)
    assert (new.redeliveries, new.settled) == (1, None)
    assert new.callback == a_record(next_attempt_time=NOW)


def test_next_attempt_starts_when_retries_rises_on_a_failed_one() -> None:
    status = final(
        State.FAILED, failure=build_failure(Reason.GPU_FAULT), callback=a_record(), settled=True, pod_name="p"
    )
    decision = decide(seen(a_transcription(status, retries=1), job=FAILED), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "CreateJob"]
    assert decision.steps[1] == CreateJob(2)
    new = status_of(decision)
    assert (new.attempt, new.state, new.retries) == (2, State.PENDING, 1)
    assert (new.failure, new.callback, new.settled, new.pod_name, new.completion_time) == (None,) * 5
    assert "CallbackDelivered" not in {c.type for c in new.conditions}


def test_queue_deadline_starts_anew_when_one_that_ran_is_retried() -> None:
    status = final(State.FAILED, failure=build_failure(Reason.GPU_FAULT), start_time=NOW)
    late = NOW + timedelta(days=30)
    decision = decide(seen(a_transcription(status, retries=1), job=FAILED), POLICY, late)
    assert decision.wake_at == late + timedelta(seconds=10)
    retried = seen(apply_status(a_transcription(status, retries=1), decision.steps), job=a_job(created=late))
    assert find_deadline(retried, retried.transcription.status, POLICY) == Deadline(
        late + timedelta(days=1), Reason.QUEUE_DEADLINE_EXCEEDED
    )


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_retries_is_only_noted_when_it_did_not_fail(state: State) -> None:
    status = final(state, settled=True)
    decision = decide(seen(a_transcription(status, retries=1)), SILENT, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    assert (status_of(decision).state, status_of(decision).retries) == (state, 1)


def test_final_state_is_kept_when_cancel_comes_too_late() -> None:
    status = final(State.FAILED, failure=build_failure(Reason.NO_AUDIO), settled=True, observed_generation=1)
    labels = {"transcription.ecg.dev/settled": "true"}
    assert decide(seen(a_transcription(status, labels=labels, cancel=True)), SILENT, NOW).steps == ()


def test_failure_is_latched_when_the_cluster_refuses_the_job() -> None:
    decision = fail(seen(a_transcription(STARTED)), build_failure(Reason.NAME_CONFLICT), SILENT, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    assert status_of(decision).state is State.FAILED


@pytest.mark.parametrize("job", [a_job(), a_job(ready=1)])
def test_live_job_is_deleted_before_the_next_one_is_made_when_retried(job: Any) -> None:
    transcription = a_transcription(final(State.FAILED, failure=FAILURE), retries=1)
    decision = decide(seen(transcription, job=job), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "DeleteJob", "CreateJob"]
    assert decision.steps[1] == DeleteJob(job)


def test_retry_waits_when_no_place_is_free() -> None:
    transcription = a_transcription(final(State.FAILED, failure=FAILURE), retries=1)
    assert decide(seen(transcription, has_place=False), POLICY, NOW) == Decision()
    ended = a_job(ended="Failed")
    assert decide(seen(transcription, job=ended, has_place=False), POLICY, NOW).steps == ()


def test_failure_is_latched_first_when_a_retry_was_asked_before_it() -> None:
    running = a_transcription(STARTED, retries=1)
    decision = decide(seen(running, job=a_job(ended="Failed")), POLICY, NOW)
    assert names(decision) == ["PatchStatus"]
    assert (decision.wake_at, decision.deliver) == (NOW, False)
    latched = apply_status(running, decision.steps)
    again = decide(seen(latched, job=a_job(ended="Failed")), POLICY, NOW)
    assert names(again) == ["PatchStatus", "CreateJob"]
    assert status_of(again).attempt == 2


def test_label_goes_first_when_a_settled_one_has_work_again() -> None:
    failed = a_transcription(final(State.FAILED, failure=FAILURE, settled=True), labels=LABELS, retries=1)
    assert names(decide(seen(failed), SILENT, NOW)) == ["Unsettle", "PatchStatus", "CreateJob"]
    assert decide(seen(failed, has_place=False), SILENT, NOW).steps == (Unsettle(),)
    told = final(State.FAILED, failure=FAILURE, settled=True, callback=build_record("msg", NOW))
    again = decide(seen(a_transcription(told, labels=LABELS, redeliveries=1)), POLICY, NOW)
    assert names(again) == ["Unsettle", "PatchStatus"]
    assert again.deliver


def test_label_stays_when_the_change_asks_for_nothing() -> None:
    status = final(State.SUCCEEDED, result=RESULT, settled=True, observed_generation=1)
    changed = a_transcription(status, labels=LABELS).model_copy(update={"generation": 2})
    decision = decide(seen(changed), SILENT, NOW)
    assert names(decision) == ["PatchStatus"]
    assert status_of(decision).observed_generation == 2


@pytest.mark.parametrize("spec", [{}, {"model": "large-v3-turbo"}])
def test_transcription_fails_without_a_job_when_the_model_cannot_translate(spec: dict[str, Any]) -> None:
    asked = a_transcription(task="translate", **spec)
    decision = decide(seen(asked), TURBO, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    failure = status_of(decision).failure
    assert failure is not None
    assert (failure.reason, failure.retryable) == (Reason.INVALID_TASK, False)
    retried = apply_status(a_transcription(task="translate", retries=1, **spec), decision.steps)
    assert "CreateJob" not in names(decide(seen(retried), TURBO, NOW))


@pytest.mark.parametrize("spec", [{"task": "translate", "model": "large-v3"}, {"task": "transcribe"}])
def test_job_is_made_when_the_model_can_do_the_task(spec: dict[str, Any]) -> None:
    assert names(decide(seen(a_transcription(**spec)), TURBO, NOW)) == ["PatchStatus", "CreateJob"]


def test_nobody_is_told_of_an_old_end_when_a_callback_url_comes_later() -> None:
    status = final(State.FAILED, failure=FAILURE, settled=True, observed_generation=1)
    changed = a_transcription(status, labels=LABELS).model_copy(update={"generation": 2})
    decision = decide(seen(changed), POLICY, NOW)
    assert names(decision) == ["PatchStatus"]
    assert not decision.deliver
