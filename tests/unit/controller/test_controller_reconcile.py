from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from controller_fakes import (
    NOW,
    POLICY,
    RESULT,
    SILENT,
    UID,
    a_failed_pod,
    a_job,
    a_pod,
    a_transcription,
    an_outcome,
    apply_status,
    condition_of,
    final,
    seen,
)

from controller.delivery import Report
from controller.outcome import build_failure
from controller.reconcile import (
    CreateJob,
    Decision,
    DeleteJob,
    ExpireJob,
    PatchStatus,
    Policy,
    Seen,
    Settle,
    decide,
    fail,
    needs_pods,
)
from crds.reasons import ExitCode, Reason, WaitingReason
from crds.transcriptionjob import CallbackRecord, CallbackState, Progress, State, Status

ID = f"msg_{UID}_1"
STARTED = Status(attempt=1)
LATER = NOW + timedelta(seconds=60)
COMPLETE = a_job(ended="Complete")
FAILED = a_job(ended="Failed", ended_reason="BackoffLimitExceeded", failed=1)


def status_of(decision: Decision) -> Status:
    return next(step.status for step in decision.steps if isinstance(step, PatchStatus))


def names(decision: Decision) -> list[str]:
    return [type(step).__name__ for step in decision.steps]


def test_attempt_is_recorded_before_the_job_is_made_when_a_transcription_is_new() -> None:
    decision = decide(seen(a_transcription(retries=3)), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "CreateJob"]
    status = status_of(decision)
    assert (status.state, status.attempt, status.retries) == (State.PENDING, 1, 3)
    assert status.job_ref is not None
    assert status.job_ref.name == "clip-1"
    assert condition_of(status, "Accepted").status == "True"
    assert condition_of(status, "Reconciling").status == "True"
    assert status.observed_generation == 1


WITHOUT_JOB: list[tuple[str, Seen, list[str]]] = [
    ("job was never made", seen(a_transcription(STARTED)), ["CreateJob"]),
    ("job was deleted by hand", seen(a_transcription(Status(attempt=1, start_time=NOW))), ["CreateJob"]),
    ("no place is free", seen(a_transcription(), has_place=False), ["PatchStatus"]),
    ("result is stored", seen(a_transcription(Status(attempt=1, result=RESULT))), ["PatchStatus"]),
    ("cancelled before the job", seen(a_transcription(cancel=True)), ["PatchStatus"]),
    ("cancelled after its job was deleted", seen(a_transcription(STARTED, cancel=True)), ["PatchStatus"]),
    ("resource is being deleted", seen(a_transcription().model_copy(update={"is_deleting": True})), []),
]


@pytest.mark.parametrize(("case", "situation", "steps"), WITHOUT_JOB, ids=[c[0] for c in WITHOUT_JOB])
def test_steps_are_these_when_there_is_no_job(case: str, situation: Seen, steps: list[str]) -> None:
    assert names(decide(situation, POLICY, NOW)) == steps, case


ENDINGS: list[tuple[str, Seen, State, str | None]] = [
    (
        "complete, result stored",
        seen(a_transcription(Status(attempt=1, result=RESULT)), job=COMPLETE),
        State.SUCCEEDED,
        None,
    ),
    (
        "complete, patch lost, result in the termination message",
        seen(
            a_transcription(STARTED),
            job=COMPLETE,
            pods=(a_pod(phase="Succeeded", termination_message=an_outcome(RESULT)),),
        ),
        State.SUCCEEDED,
        None,
    ),
    ("complete, no result anywhere", seen(a_transcription(STARTED), job=COMPLETE), State.FAILED, Reason.RESULT_MISSING),
    (
        "complete, nonsense in the termination message",
        seen(a_transcription(STARTED), job=COMPLETE, pods=(a_pod(phase="Succeeded", termination_message="{]"),)),
        State.FAILED,
        Reason.RESULT_MISSING,
    ),
    (
        "failed after the result was stored",
        seen(a_transcription(Status(attempt=1, result=RESULT)), job=FAILED, pods=(a_failed_pod(143),)),
        State.SUCCEEDED,
        None,
    ),
    ("failed without pods", seen(a_transcription(STARTED), job=FAILED), State.FAILED, Reason.WORKER_FAILED),
    (
        "job out of time without pods",
        seen(a_transcription(STARTED), job=replace(FAILED, ended_reason="DeadlineExceeded")),
        State.FAILED,
        Reason.RUN_DEADLINE_EXCEEDED,
    ),
    (
        "cancel beats failure",
        seen(a_transcription(STARTED, cancel=True), job=FAILED, pods=(a_failed_pod(65),)),
        State.CANCELLED,
        None,
    ),
    (
        "result beats cancel",
        seen(a_transcription(Status(attempt=1, result=RESULT), cancel=True), job=COMPLETE),
        State.SUCCEEDED,
        None,
    ),
    ("cancelled while running", seen(a_transcription(STARTED, cancel=True), job=a_job(ready=1)), State.CANCELLED, None),
    (
        "pod out of time, job goes on",
        seen(a_transcription(STARTED), job=a_job(failed=1), pods=(a_failed_pod(143, reason="DeadlineExceeded"),)),
        State.FAILED,
        Reason.RUN_DEADLINE_EXCEEDED,
    ),
]


@pytest.mark.parametrize(("case", "situation", "state", "reason"), ENDINGS, ids=[c[0] for c in ENDINGS])
def test_final_state_is_this_when_it_ends(case: str, situation: Seen, state: State, reason: str | None) -> None:
    status = status_of(decide(situation, POLICY, NOW))
    assert status.state is state, case
    assert (status.failure.reason if status.failure else None) == reason
    assert condition_of(status, "Finished").status == "True"
    assert condition_of(status, "Finished").reason == state
    assert condition_of(status, "Stalled").status == ("True" if state is State.FAILED else "False")
    assert status.completion_time == NOW
    assert status.callback is not None


EXITS: list[tuple[int | None, dict[str, Any], Reason]] = [
    (64, {}, Reason.INVALID_TASK),
    (65, {}, Reason.UNREADABLE_MEDIA),
    (66, {}, Reason.INPUT_NOT_FOUND),
    (67, {}, Reason.INPUT_CHANGED),
    (68, {}, Reason.INPUT_DENIED),
    (69, {}, Reason.MODEL_UNKNOWN),
    (79, {}, Reason.WORKER_FAILED),
    (80, {}, Reason.STORAGE_UNAVAILABLE),
    (81, {}, Reason.MODEL_UNAVAILABLE),
    (85, {}, Reason.INTERNAL_ERROR),
    (95, {}, Reason.INTERNAL_ERROR),
    (96, {}, Reason.GPU_FAULT),
    (97, {}, Reason.GPU_OUT_OF_MEMORY),
    (99, {}, Reason.GPU_FAULT),
    (137, {"exit_reason": "OOMKilled"}, Reason.OUT_OF_MEMORY),
    (137, {}, Reason.WORKER_TERMINATED),
    (143, {}, Reason.WORKER_TERMINATED),
    (1, {}, Reason.WORKER_FAILED),
    (0, {}, Reason.WORKER_FAILED),
    (143, {"reason": "DeadlineExceeded"}, Reason.RUN_DEADLINE_EXCEEDED),
    (None, {"reason": "UnexpectedAdmissionError"}, Reason.NODE_REFUSED),
    (None, {"reason": "OutOfnvidia.com/gpu"}, Reason.NODE_REFUSED),
    (None, {"reason": "Evicted"}, Reason.TOO_MANY_DISRUPTIONS),
    (None, {"reason": "SomethingNew"}, Reason.NODE_REFUSED),
    (None, {}, Reason.WORKER_FAILED),
    (65, {"termination_message": "not json"}, Reason.UNREADABLE_MEDIA),
]


@pytest.mark.parametrize(("exit_code", "facts", "reason"), EXITS)
def test_failure_has_this_reason_when_a_pod_ends_so(
    exit_code: int | None, facts: dict[str, Any], reason: Reason
) -> None:
    pods = (a_failed_pod(exit_code, **facts),)
    failure = status_of(decide(seen(a_transcription(STARTED), job=FAILED, pods=pods), POLICY, NOW)).failure
    assert failure is not None
    assert (failure.reason, failure.exit_code) == (reason, exit_code)


def test_every_exit_code_of_the_worker_has_a_reason() -> None:
    for code in set(ExitCode) - {ExitCode.DONE}:
        pods = (a_failed_pod(int(code)),)
        failure = status_of(decide(seen(a_transcription(STARTED), job=FAILED, pods=pods), POLICY, NOW)).failure
        assert failure is not None
        assert failure.reason != Reason.WORKER_FAILED


def test_last_pod_says_why_when_several_failed() -> None:
    message = an_outcome(reason=Reason.NO_AUDIO, message="The file has no sound.")
    first = a_failed_pod(80, termination_message=an_outcome(reason=Reason.STORAGE_UNAVAILABLE, message="S3 is down."))
    last = replace(a_failed_pod(65, termination_message=message), finished=LATER)
    failure = status_of(decide(seen(a_transcription(STARTED), job=FAILED, pods=(last, first)), POLICY, NOW)).failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.NO_AUDIO, "The file has no sound.")
    assert not failure.retryable


def test_job_is_deleted_before_the_end_is_latched_when_cancelled() -> None:
    decision = decide(seen(a_transcription(STARTED, cancel=True), job=a_job(ready=1)), POLICY, NOW)
    assert names(decision) == ["DeleteJob", "PatchStatus"]
    assert decision.deliver
    assert status_of(decision).callback == CallbackRecord(state=CallbackState.PENDING, id=ID, next_attempt_time=NOW)


def test_live_job_is_deleted_when_the_transcription_is_final_already() -> None:
    status = final(State.CANCELLED, callback=None, settled=True, observed_generation=1)
    decision = decide(seen(a_transcription(status), job=a_job(ready=1)), SILENT, NOW)
    assert decision.steps == (DeleteJob(a_job(ready=1)), Settle())


WAITING: list[tuple[str, Any, WaitingReason]] = [
    ("no node has room", a_pod(phase="Pending", is_unschedulable=True), WaitingReason.UNSCHEDULABLE),
    ("image is not pulled", a_pod(phase="Pending", waiting_reason="ImagePullBackOff"), WaitingReason.IMAGE_PULL),
    (
        "secret is missing",
        a_pod(phase="Pending", waiting_reason="CreateContainerConfigError"),
        WaitingReason.CONTAINER_CONFIG,
    ),
    ("container is being made", a_pod(phase="Pending", waiting_reason="ContainerCreating"), WaitingReason.STARTING),
]


@pytest.mark.parametrize(("case", "pod", "why"), WAITING, ids=[c[0] for c in WAITING])
def test_reason_is_told_when_a_pod_waits(case: str, pod: Any, why: WaitingReason) -> None:
    decision = decide(seen(a_transcription(STARTED), job=a_job(), pods=(pod,)), POLICY, LATER)
    status = status_of(decision)
    assert (status.state, status.waiting_reason) == (State.STARTING, why), case
    assert decision.wake_at is not None
    assert LATER < decision.wake_at <= LATER + timedelta(seconds=10)


def test_nothing_is_written_when_the_job_is_young() -> None:
    decision = decide(seen(a_transcription(STARTED), job=a_job()), POLICY, NOW)
    assert decision == Decision(wake_at=NOW + timedelta(seconds=10))
    assert not needs_pods(a_transcription(STARTED), a_job(), NOW)


def test_looks_grow_apart_when_it_waits_long() -> None:
    much_later = NOW + timedelta(hours=3)
    decision = decide(seen(a_transcription(STARTED), job=a_job()), POLICY, much_later)
    assert decision.wake_at == much_later + timedelta(minutes=5)


def test_state_is_running_when_the_pod_is_ready() -> None:
    decision = decide(seen(a_transcription(STARTED), job=a_job(ready=1), pods=(a_pod(is_ready=True),)), POLICY, NOW)
    status = status_of(decision)
    assert (status.state, status.pod_name, status.start_time) == (State.RUNNING, "clip-1-abcde", NOW)
    assert status.job_ref is not None
    assert status.job_ref.uid == "job-uid"


@pytest.mark.parametrize("pod", [a_pod(phase="Succeeded"), a_pod(exit_code=0), a_pod(exit_code=137)])
def test_state_stays_running_when_the_pod_has_just_ended(pod: Any) -> None:
    running = apply_status(
        a_transcription(STARTED),
        decide(seen(a_transcription(STARTED), job=a_job(ready=1)), POLICY, NOW).steps,
    )
    decision = decide(seen(running, job=a_job(), pods=(pod,)), POLICY, LATER)
    assert decision.steps == ()


def test_state_goes_back_to_starting_when_the_pod_is_replaced() -> None:
    running = apply_status(
        a_transcription(STARTED),
        decide(seen(a_transcription(STARTED), job=a_job(ready=1)), POLICY, NOW).steps,
    )
    pods = (a_failed_pod(137), a_pod(name="clip-1-fghij", phase="Pending", is_unschedulable=True))
    status = status_of(decide(seen(running, job=a_job(failed=1), pods=pods), POLICY, LATER))
    assert (status.state, status.waiting_reason, status.start_time) == (
        State.STARTING,
        WaitingReason.UNSCHEDULABLE,
        NOW,
    )


def test_transcription_fails_when_no_place_is_found_in_time() -> None:
    spec = {"limits": {"queueSeconds": 60}}
    late = NOW + timedelta(seconds=60)
    decision = decide(seen(a_transcription(STARTED, **spec), job=a_job(), pods=()), POLICY, late)
    assert names(decision) == ["DeleteJob", "PatchStatus"]
    failure = status_of(decision).failure
    assert failure is not None
    assert failure.reason == Reason.QUEUE_DEADLINE_EXCEEDED


def test_queue_deadline_is_over_when_it_has_run() -> None:
    spec = {"limits": {"queueSeconds": 60}}
    late = NOW + timedelta(hours=1)
    decision = decide(seen(a_transcription(STARTED, **spec), job=a_job(ready=1)), POLICY, late)
    assert status_of(decision).state is State.RUNNING


def test_progress_changes_nothing() -> None:
    running = apply_status(
        a_transcription(STARTED),
        decide(seen(a_transcription(STARTED), job=a_job(ready=1)), POLICY, NOW).steps,
    )
    progress = Progress(pod_uid="p", attempt=1, percent=50)
    moved = running.model_copy(update={"status": running.status.model_copy(update={"progress": progress})})
    assert decide(seen(moved, job=a_job(ready=1)), POLICY, LATER).steps == ()


def a_record(**changes: Any) -> CallbackRecord:
    return CallbackRecord(state=CallbackState.PENDING, id=ID).model_copy(update=changes)


def test_end_is_settled_in_one_pass_when_the_worker_has_delivered() -> None:
    status = Status(attempt=1, result=RESULT, callback=a_record(state=CallbackState.DELIVERED, attempts=1))
    decision = decide(seen(a_transcription(status), job=COMPLETE), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "ExpireJob", "Settle"]
    assert status_of(decision).settled
    assert condition_of(status_of(decision), "CallbackDelivered").status == "True"


def test_end_is_settled_in_one_pass_when_nobody_is_to_be_told() -> None:
    decision = decide(seen(a_transcription(Status(attempt=1, result=RESULT)), job=COMPLETE), SILENT, NOW)
    assert names(decision) == ["PatchStatus", "ExpireJob", "Settle"]
    assert status_of(decision).callback is None


def test_outbox_waits_out_the_schedule_when_the_workers_try_failed() -> None:
    record = a_record(attempts=1, last_status_code=503, last_attempt_time=NOW)
    status = Status(attempt=1, result=RESULT, callback=record)
    decision = decide(seen(a_transcription(status), job=COMPLETE), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "ExpireJob"]
    assert (decision.deliver, decision.wake_at) == (False, NOW + timedelta(seconds=5))
    after = apply_status(a_transcription(status), decision.steps)
    due = decide(seen(after, job=replace(COMPLETE, has_ttl=True)), POLICY, NOW + timedelta(seconds=5))
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
    assert names(decision) == ["PatchStatus", "CreateJob", "ExpireJob"]
    assert decision.steps[1] == CreateJob(2)
    new = status_of(decision)
    assert (new.attempt, new.state, new.retries) == (2, State.PENDING, 1)
    assert (new.failure, new.callback, new.settled, new.pod_name, new.completion_time) == (None,) * 5
    assert "CallbackDelivered" not in {c.type for c in new.conditions}


def test_queue_deadline_starts_anew_when_one_that_ran_is_retried() -> None:
    status = final(State.FAILED, failure=build_failure(Reason.GPU_FAULT), start_time=NOW)
    late = NOW + timedelta(days=30)
    decision = decide(seen(a_transcription(status, retries=1), job=FAILED), POLICY, late)
    assert decision.wake_at == late + timedelta(days=1)


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


ALL = [*(case[1] for case in WITHOUT_JOB), *(case[1] for case in ENDINGS)]
ALL += [seen(a_transcription(STARTED), job=a_job(), pods=(case[1],)) for case in WAITING]
ALL += [seen(a_transcription(STARTED), job=a_job(ready=1), pods=(a_pod(is_ready=True),))]


@pytest.mark.parametrize("policy", [POLICY, SILENT])
@pytest.mark.parametrize("situation", ALL)
def test_second_decision_writes_nothing_when_the_first_is_done(situation: Seen, policy: Policy) -> None:
    first = decide(situation, policy, LATER)
    job: Any = situation.job
    for step in first.steps:
        job = a_job() if isinstance(step, CreateJob) else None if isinstance(step, DeleteJob) else job
        job = replace(job, has_ttl=True) if isinstance(step, ExpireJob) else job
    transcription = apply_status(situation.transcription, first.steps)
    again = decide(replace(situation, transcription=transcription, job=job), policy, LATER)
    young = [
        step for step in again.steps if not (isinstance(step, PatchStatus) and step.status.state is State.STARTING)
    ]
    assert young == []


@pytest.mark.parametrize("situation", ALL)
def test_status_survives_the_journey_through_json(situation: Seen) -> None:
    for step in decide(situation, POLICY, NOW).steps:
        if isinstance(step, PatchStatus):
            assert Status.model_validate(step.status.to_manifest()) == step.status
