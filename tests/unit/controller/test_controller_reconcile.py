from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.decision import CreateJob, Decision, DeleteJob, PatchStatus, Policy, Seen, Settle
from controller.delivery import build_record
from controller.reconcile import decide, needs_pods
from crds.reasons import ExitCode, Reason, WaitingReason
from crds.transcriptionjob import Progress, State, Status
from tests.support.controller_fakes import (
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
    names,
    seen,
    status_of,
)

STARTED = Status(attempt=1)
LAST_TRY = Status(attempt=1, tries=3)
LATER = NOW + timedelta(seconds=60)
LONG_AGO = NOW - timedelta(hours=12)
COMPLETE = a_job(ended="Complete")
FAILED = a_job(ended="Failed", ended_reason="BackoffLimitExceeded", failed=1)


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
        Reason.TOTAL_DEADLINE_EXCEEDED,
    ),
    (
        "job out of time with the pod that it ended",
        seen(
            a_transcription(STARTED),
            job=replace(FAILED, ended_reason="DeadlineExceeded"),
            pods=(a_failed_pod(143),),
        ),
        State.FAILED,
        Reason.TOTAL_DEADLINE_EXCEEDED,
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
        "result beats cancel while its worker still runs",
        seen(a_transcription(Status(attempt=1, result=RESULT), cancel=True), job=a_job(ready=1)),
        State.SUCCEEDED,
        None,
    ),
    (
        "result beats the run deadline",
        seen(a_transcription(Status(attempt=1, result=RESULT, start_time=LONG_AGO)), job=a_job(ready=1)),
        State.SUCCEEDED,
        None,
    ),
    (
        "result beats a pod out of time",
        seen(
            a_transcription(Status(attempt=1, result=RESULT)),
            job=a_job(failed=1),
            pods=(a_failed_pod(143, reason="DeadlineExceeded"),),
        ),
        State.SUCCEEDED,
        None,
    ),
    (
        "run deadline of the whole attempt, pod at work",
        seen(a_transcription(Status(attempt=1, start_time=LONG_AGO)), job=a_job(ready=1)),
        State.FAILED,
        Reason.RUN_DEADLINE_EXCEEDED,
    ),
    (
        "run deadline of the whole attempt, no pod",
        seen(a_transcription(Status(attempt=1, start_time=LONG_AGO)), job=a_job(is_deleting=True)),
        State.FAILED,
        Reason.RUN_DEADLINE_EXCEEDED,
    ),
    (
        "result of another attempt in the termination message",
        seen(
            a_transcription(Status(attempt=2)),
            job=COMPLETE,
            pods=(a_pod(phase="Succeeded", termination_message=an_outcome(RESULT)),),
        ),
        State.FAILED,
        Reason.RESULT_MISSING,
    ),
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
    failure = status_of(decide(seen(a_transcription(LAST_TRY), job=FAILED, pods=pods), POLICY, NOW)).failure
    assert failure is not None
    assert (failure.reason, failure.exit_code) == (reason, exit_code)


def test_every_exit_code_of_the_worker_has_a_reason() -> None:
    for code in set(ExitCode) - {ExitCode.DONE}:
        pods = (a_failed_pod(int(code)),)
        failure = status_of(decide(seen(a_transcription(LAST_TRY), job=FAILED, pods=pods), POLICY, NOW)).failure
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


FORGED = [
    {"key": "transcripts/ns/other/uid/1/transcript.json"},
    {"key": "videos/a.mp4"},
    {"sha256": "0" * 63},
    {"sha256": "G" * 64},
    {"sha256": "0" * 64 + "\n"},
    {"bytes": -1},
    {"bytes": 2**63},
    {"language": "x" * 9},
    {"segments": -1},
    {"duration_seconds": -0.5},
    {"formats": ("json",) * 6},
]


@pytest.mark.parametrize("changes", FORGED)
def test_result_counts_for_nothing_when_the_pod_names_one_that_the_schema_refuses(changes: dict[str, Any]) -> None:
    message = an_outcome(RESULT.model_copy(update=changes))
    pods = (a_pod(phase="Succeeded", termination_message=message),)
    failure = status_of(decide(seen(a_transcription(STARTED), job=a_job(ended="Complete"), pods=pods), POLICY, NOW))
    assert failure.failure is not None
    assert failure.failure.reason == Reason.RESULT_MISSING


def test_last_pod_says_why_when_it_was_evicted_before_its_container_was_known() -> None:
    first = a_failed_pod(80)
    last = replace(a_failed_pod(None, reason="Evicted", created=LATER), finished=None)
    failed = a_job(ended="Failed", failed=2)
    failure = status_of(decide(seen(a_transcription(STARTED), job=failed, pods=(first, last)), POLICY, NOW)).failure
    assert failure is not None
    assert failure.reason == Reason.TOO_MANY_DISRUPTIONS


def test_end_is_latched_before_the_job_is_deleted_when_cancelled() -> None:
    decision = decide(seen(a_transcription(STARTED, cancel=True), job=a_job(ready=1)), POLICY, NOW)
    assert names(decision) == ["PatchStatus", "DeleteJob"]
    assert decision.deliver
    assert status_of(decision).callback == build_record(f"msg_{UID}_1", NOW)


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
    assert names(decision) == ["PatchStatus", "DeleteJob"]
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
