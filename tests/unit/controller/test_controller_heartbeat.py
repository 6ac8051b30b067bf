"""A worker that goes silent is replaced, and no other."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controller.decision import CreateJob, Decision, DeleteJob
from controller.reconcile import decide
from controller.views import JobView, PodView
from crds.reasons import Reason
from crds.transcriptionjob import State, Status, Transcription
from tests.support.controller_fakes import (
    NOW,
    POLICY,
    RESULT,
    a_failed_pod,
    a_job,
    a_pod,
    a_transcription,
    apply_status,
    names,
    seen,
    status_of,
)

AT_WORK = a_pod(is_ready=True, node="gpu-7", started=NOW)
READY = a_job(ready=1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_running_one(attempts: int = 3) -> Transcription:
    fresh = a_transcription(Status(attempt=1, tries=1), limits={"attempts": attempts})
    return apply_status(fresh, decide(seen(fresh, job=READY, pods=(AT_WORK,)), POLICY, NOW).steps)


def look(
    seconds: float, pods: tuple[PodView, ...] = (AT_WORK,), job: JobView = READY, heard: datetime = NOW
) -> Decision:
    return decide(seen(a_running_one(), job=job, pods=pods, heard=heard), POLICY, after(seconds))


def test_next_attempt_goes_elsewhere_when_the_worker_is_silent() -> None:
    decision = look(300)
    assert names(decision) == ["PatchStatus", "DeleteJob", "CreateJob"]
    status = status_of(decision)
    assert (status.attempt, status.tries, status.avoid_nodes) == (2, 2, ("gpu-7",))
    assert decision.steps[1:] == (DeleteJob(READY), CreateJob(2))


def test_worker_is_left_alone_when_it_was_heard_in_time() -> None:
    assert look(299) == Decision(wake_at=after(300))
    assert look(500, heard=after(250)) == Decision(wake_at=after(550))


def test_silence_ends_it_when_no_attempt_is_left() -> None:
    silent = a_running_one(attempts=1)
    status = status_of(decide(seen(silent, job=READY, pods=(AT_WORK,), heard=NOW), POLICY, after(300)))
    assert status.state is State.FAILED
    assert status.failure is not None
    assert (status.failure.reason, status.failure.retryable) == (Reason.STALE_HEARTBEAT, True)


def test_silence_counts_for_nothing_when_the_result_is_stored() -> None:
    silent = a_running_one()
    stored = silent.model_copy(update={"status": silent.status.model_copy(update={"result": RESULT})})
    decision = decide(seen(stored, job=READY, pods=(AT_WORK,), heard=NOW), POLICY, after(300))
    assert status_of(decision).state is State.SUCCEEDED
    assert names(decision)[1] == "DeleteJob"


def test_new_pod_is_given_its_time_when_the_pause_before_it_was_long() -> None:
    pods = (replace(a_failed_pod(80), node="gpu-7"), a_pod(name="clip-1-2", created=after(320), started=after(330)))
    new = (pods[0], replace(pods[1], is_ready=True))
    assert look(331, new, a_job(ready=1, failed=1)).steps[1:] == ()
    assert look(331, new, a_job(ready=1, failed=1)).wake_at == after(630)
    assert names(look(630, new, a_job(ready=1, failed=1))) == ["PatchStatus", "DeleteJob", "CreateJob"]


def test_pod_is_given_its_time_when_its_image_took_long_to_pull() -> None:
    fresh = a_transcription(Status(attempt=1))
    pulled = a_pod(is_ready=True, created=NOW, started=after(900))
    decision = decide(seen(fresh, job=READY, pods=(pulled,), heard=NOW), POLICY, after(901))
    assert status_of(decision).state is State.RUNNING


def test_next_attempt_starts_when_the_node_is_lost_and_its_pod_is_not_ready_any_more() -> None:
    lost = replace(AT_WORK, is_ready=False)
    early = look(60, (lost,), a_job())
    assert early.steps == ()
    assert early.wake_at is not None
    assert early.wake_at <= after(300)
    late = look(300, (lost,), a_job())
    assert names(late) == ["PatchStatus", "DeleteJob", "CreateJob"]
    assert status_of(late).avoid_nodes == ("gpu-7",)


@pytest.mark.parametrize("pods", [(), (a_failed_pod(80),), (a_pod(phase="Pending"),), (a_pod(exit_code=0),)])
def test_silence_is_not_asked_for_when_no_worker_is_at_work(pods: tuple[PodView, ...]) -> None:
    assert "CreateJob" not in names(look(4000, pods, a_job(failed=1)))


def test_silence_is_not_asked_for_when_the_queue_has_suspended_the_job() -> None:
    assert "CreateJob" not in names(look(4000, (AT_WORK,), a_job(is_suspended=True)))
