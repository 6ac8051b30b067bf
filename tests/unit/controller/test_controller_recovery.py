"""Failures of the place: another attempt, elsewhere, up to the limit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.attempts import ELSEWHERE, MOST_AVOIDED
from controller.decision import CreateJob, DeleteJob
from controller.reconcile import decide
from controller.views import JobView, PodView
from crds.reasons import Reason
from crds.transcriptionjob import State, Status, Transcription
from tests.support.controller_fakes import (
    NOW,
    RESULT,
    SILENT,
    a_failed_pod,
    a_job,
    a_pod,
    a_transcription,
    an_outcome,
    apply_status,
    names,
    seen,
    status_of,
)

FAILED = a_job(ended="Failed", ended_reason="PodFailurePolicy", failed=1)
LATER = NOW + timedelta(minutes=1)


def an_attempt(number: int = 1, tries: int = 1, **spec: Any) -> Transcription:
    return a_transcription(Status(attempt=number, tries=tries), **spec)


def refused(reason: str, count: int = 3) -> tuple[PodView, ...]:
    return tuple(
        a_pod(name=f"clip-1-{n}", phase="Failed", reason=reason, node="gpu-7", created=NOW + timedelta(seconds=n))
        for n in range(count)
    )


LOST_TO_THE_PLACE: list[tuple[str, JobView, tuple[PodView, ...]]] = [
    ("gpu fault", FAILED, (a_failed_pod(96, node="gpu-7"),)),
    ("gpu out of memory", FAILED, (a_failed_pod(97, node="gpu-7"),)),
    ("no sandbox", FAILED, (a_failed_pod(98, node="gpu-7"),)),
    ("gpus refused by the node, job goes on", a_job(failed=3), refused("OutOfnvidia.com/gpu")),
    ("pods not admitted, job goes on", a_job(failed=3), refused("UnexpectedAdmissionError")),
    ("pods refused until the job failed", FAILED, refused("UnexpectedAdmissionError", 7)),
]


@pytest.mark.parametrize(("case", "job", "pods"), LOST_TO_THE_PLACE, ids=[c[0] for c in LOST_TO_THE_PLACE])
def test_next_attempt_goes_elsewhere_when_the_place_is_at_fault(
    case: str, job: JobView, pods: tuple[PodView, ...]
) -> None:
    decision = decide(seen(an_attempt(), job=job, pods=pods), SILENT, LATER)
    free = () if job.ended else (DeleteJob(job),)
    assert decision.steps[1:] == (*free, CreateJob(2)), case
    status = status_of(decision)
    assert (status.state, status.attempt, status.tries, status.avoid_nodes) == (State.PENDING, 2, 2, ("gpu-7",))
    assert status.failure is None


OF_THE_FILE: list[tuple[str, JobView, tuple[PodView, ...], Reason]] = [
    ("bad media", FAILED, (a_failed_pod(65),), Reason.UNREADABLE_MEDIA),
    ("storage away", FAILED, (a_failed_pod(80),), Reason.STORAGE_UNAVAILABLE),
    ("out of memory", FAILED, (a_failed_pod(137, exit_reason="OOMKilled"),), Reason.OUT_OF_MEMORY),
    ("evicted", FAILED, (a_failed_pod(None, reason="Evicted"),), Reason.TOO_MANY_DISRUPTIONS),
    ("out of time", a_job(failed=1), (a_failed_pod(143, reason="DeadlineExceeded"),), Reason.RUN_DEADLINE_EXCEEDED),
    ("result lost", a_job(ended="Complete"), (), Reason.RESULT_MISSING),
]


@pytest.mark.parametrize(("case", "job", "pods", "reason"), OF_THE_FILE, ids=[c[0] for c in OF_THE_FILE])
def test_no_other_attempt_is_made_when_the_place_is_not_at_fault(
    case: str, job: JobView, pods: tuple[PodView, ...], reason: Reason
) -> None:
    status = status_of(decide(seen(an_attempt(), job=job, pods=pods), SILENT, LATER))
    assert status.failure is not None, case
    assert (status.state, status.failure.reason) == (State.FAILED, reason)


def test_a_stored_transcript_is_adopted_when_no_word_of_it_is_left() -> None:
    decision = decide(seen(an_attempt(), job=a_job(ended="Complete"), stored=RESULT), SILENT, LATER)
    status = status_of(decision)
    assert (status.state, status.result, status.failure) == (State.SUCCEEDED, RESULT, None)


@pytest.mark.parametrize("attempts", [1, 2, 3, 10])
def test_as_many_jobs_are_made_as_allowed_when_each_gpu_fails(attempts: int) -> None:
    transcription = an_attempt(limits={"attempts": attempts})
    made = 1
    while transcription.status.failure is None:
        pods = (a_failed_pod(96, node=f"gpu-{made}"),)
        decision = decide(seen(transcription, job=replace(FAILED, name=f"clip-{made}"), pods=pods), SILENT, LATER)
        made += names(decision).count("CreateJob")
        transcription = apply_status(transcription, decision.steps)
    assert (made, transcription.status.attempt) == (attempts, attempts)
    assert transcription.status.failure.reason == Reason.GPU_FAULT


def test_nodes_are_avoided_once_each_and_the_latest_ones_only() -> None:
    transcription = an_attempt(limits={"attempts": 10})
    before = tuple(f"gpu-{n}" for n in range(MOST_AVOIDED))
    status = transcription.status.model_copy(update={"avoid_nodes": before})
    transcription = transcription.model_copy(update={"status": status})
    again = decide(seen(transcription, job=FAILED, pods=(a_failed_pod(96, node="gpu-3"),)), SILENT, LATER)
    assert status_of(again).avoid_nodes == before
    new = decide(seen(transcription, job=FAILED, pods=(a_failed_pod(96, node="gpu-new"),)), SILENT, LATER)
    assert status_of(new).avoid_nodes == (*before[1:], "gpu-new")


def test_two_refusals_are_left_to_the_job() -> None:
    decision = decide(seen(an_attempt(), job=a_job(failed=2), pods=refused("NodeAffinity", 2)), SILENT, LATER)
    assert "CreateJob" not in names(decision)


def test_refusals_are_forgotten_when_a_pod_got_in_after_them() -> None:
    pods = (*refused("NodeAffinity"), a_pod(name="in", created=NOW + timedelta(seconds=9), is_ready=True))
    decision = decide(seen(an_attempt(), job=a_job(ready=1, failed=3), pods=pods), SILENT, LATER)
    assert status_of(decision).state is State.RUNNING


def test_result_in_the_last_words_counts_when_the_gpu_fails_afterwards() -> None:
    pods = (a_failed_pod(96, termination_message=an_outcome(RESULT)),)
    assert status_of(decide(seen(an_attempt(), job=FAILED, pods=pods), SILENT, LATER)).state is State.SUCCEEDED


def test_cancel_is_final_when_it_comes_with_a_gpu_fault() -> None:
    decision = decide(seen(an_attempt(cancel=True), job=FAILED, pods=(a_failed_pod(96),)), SILENT, LATER)
    assert status_of(decision).state is State.CANCELLED
    assert "CreateJob" not in names(decision)


def test_job_before_goes_first_when_the_process_died_after_the_attempt_was_raised() -> None:
    recovering = apply_status(
        an_attempt(), decide(seen(an_attempt(), job=FAILED, pods=(a_failed_pod(96),)), SILENT, LATER).steps
    )
    left = a_job(ready=1)
    decision = decide(seen(recovering, others=(left,)), SILENT, LATER)
    assert decision.steps == (DeleteJob(left), CreateJob(2))


def test_retry_is_still_owed_when_it_was_asked_before_the_gpu_failed() -> None:
    asked = an_attempt(retries=1)
    recovering = apply_status(asked, decide(seen(asked, job=FAILED, pods=(a_failed_pod(96),)), SILENT, LATER).steps)
    assert (recovering.status.attempt, recovering.status.retries) == (2, 0)


def test_retry_forgives_what_the_attempts_before_it_cost() -> None:
    spent = a_transcription(Status(attempt=3, tries=3, avoid_nodes=("gpu-1",)), retries=1)
    failed = apply_status(
        spent, decide(seen(spent, job=replace(FAILED, name="clip-3"), pods=(a_failed_pod(96),)), SILENT, LATER).steps
    )
    assert failed.status.state is State.FAILED
    status = status_of(decide(seen(failed), SILENT, LATER))
    assert (status.attempt, status.tries, status.avoid_nodes, status.retries) == (4, 1, (), 1)


def test_deletion_stops_the_recovery() -> None:
    leaving = an_attempt().model_copy(update={"is_deleting": True})
    assert decide(seen(leaving, job=FAILED, pods=(a_failed_pod(96),)), SILENT, LATER).steps == ()


def test_failures_of_the_place_are_worth_another_try_for_people_too() -> None:
    transcription = an_attempt(limits={"attempts": 1})
    for reason in ELSEWHERE:
        pods = (a_failed_pod(96, termination_message=an_outcome(reason=reason, message="It broke.")),)
        failure = status_of(decide(seen(transcription, job=FAILED, pods=pods), SILENT, LATER)).failure
        assert failure is not None
        assert (failure.reason, failure.retryable) == (reason, True)
