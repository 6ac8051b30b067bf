"""What to do next with a transcription: decide() is a function of what is seen, and does nothing itself.

Called by the loop with the resource, its Job and pods. It decides by conditions and facts, never by `state`, and asks
for nothing twice: deciding again on its own outcome gives no steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller import delivery
from controller.conditions import drop_condition, enter, final_state, is_running, set_condition
from controller.delivery import Report
from controller.outcome import build_failure, explain_waiting, judge
from controller.views import JobView, PodView
from crds.reasons import REASONS, WAITING, Reason, WaitingReason
from crds.transcriptionjob import (
    SETTLED_LABEL,
    CallbackState,
    ConditionType,
    Failure,
    JobRef,
    Result,
    State,
    Status,
    Transcription,
)
from crds.worker import build_callback_id, build_job_name

FIRST_LOOK = timedelta(seconds=10)
LONGEST_LOOK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the installation wants."""

    callback_url: str | None
    retry_schedule: Sequence[float]


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision rests on."""

    transcription: Transcription
    job: JobView | None = None
    pods: tuple[PodView, ...] = ()
    report: Report | None = None
    has_place: bool = True


@dataclass(frozen=True, slots=True)
class PatchStatus:
    status: Status


@dataclass(frozen=True, slots=True)
class CreateJob:
    attempt: int


@dataclass(frozen=True, slots=True)
class DeleteJob:
    job: JobView


@dataclass(frozen=True, slots=True)
class ExpireJob:
    job: JobView


@dataclass(frozen=True, slots=True)
class Settle:
    """Put the label on that takes the transcription out of the watch."""


Step = PatchStatus | CreateJob | DeleteJob | ExpireJob | Settle


@dataclass(frozen=True, slots=True)
class Decision:
    """Steps in the order they must be done, when to look again, and whether the callback is due."""

    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None
    deliver: bool = False


def needs_pods(transcription: Transcription, job: JobView | None, now: datetime) -> bool:
    """Whether the decision wants to know the Job's pods."""
    if job is None or final_state(transcription.status) is not None:
        return False
    if job.ended:
        return transcription.status.result is None
    return not job.is_deleting and (job.ready > 0 or job.failed > 0 or now >= job.created + FIRST_LOOK)


def decide(seen: Seen, policy: Policy, now: datetime) -> Decision:
    """The next steps of one transcription."""
    transcription, job = seen.transcription, seen.job
    status = transcription.status
    if transcription.is_deleting:
        return Decision()
    if final_state(status) is not None:
        return _after_the_end(seen, status, policy, now)
    verdict = status.result if _is_result_due(status, job) else judge(job, seen.pods) if job else None
    if isinstance(verdict, Result):
        return _after_the_end(seen, _succeed(seen, verdict, now), policy, now)
    if transcription.spec.cancel:
        return _after_the_end(seen, _cancel(transcription, now), policy, now)
    if isinstance(verdict, Failure):
        return fail(seen, verdict, policy, now)
    deadline = _queue_deadline(seen, now)
    if deadline is not None and deadline <= now:
        return fail(seen, build_failure(Reason.QUEUE_DEADLINE_EXCEEDED), policy, now)
    if status.attempt == 0:
        return _admit(seen, now)
    if job is None:
        return Decision((CreateJob(status.attempt),), deadline)
    return _follow(seen, job, now)


def fail(seen: Seen, failure: Failure, policy: Policy, now: datetime) -> Decision:
    """Latch the failure; also called by the loop when the cluster refuses the Job."""
    status = enter(seen.transcription, State.FAILED, failure.message, failure.reason, now)
    status = status.model_copy(update={"failure": failure, "waiting_reason": None, "completion_time": now})
    return _after_the_end(seen, status, policy, now)


def wait(seen: Seen, why: WaitingReason, now: datetime) -> Decision:
    """Stay in line; also called by the loop when a quota leaves no room."""
    status = enter(seen.transcription, State.QUEUED, WAITING[why], why, now)
    return _write(seen, status.model_copy(update={"waiting_reason": why}), _queue_deadline(seen, now))


def _is_result_due(status: Status, job: JobView | None) -> bool:
    """The stored result counts once its Job is over, however that ended."""
    return status.result is not None and (job is None or job.ended is not None)


def _queue_deadline(seen: Seen, now: datetime) -> datetime | None:
    """Until when a first pod must run; None when one has."""
    status, job = seen.transcription.status, seen.job
    if status.start_time is not None or (job is not None and job.ready > 0):
        return None
    since = seen.transcription.created if status.attempt <= 1 else job.created if job else now
    return since + timedelta(seconds=seen.transcription.spec.limits.queue_seconds)


def _write(seen: Seen, status: Status, wake_at: datetime | None) -> Decision:
    changed = status != seen.transcription.status
    return Decision((PatchStatus(status),) if changed else (), wake_at)


def _admit(seen: Seen, now: datetime) -> Decision:
    return _start_attempt(seen, now) if seen.has_place else wait(seen, WaitingReason.NO_PLACE, now)


def _start_attempt(seen: Seen, now: datetime) -> Decision:
    """The attempt is on record before its Job exists, so a Job is never made twice."""
    transcription, attempt = seen.transcription, seen.transcription.status.attempt + 1
    status = enter(transcription, State.PENDING, "Accepted: the Job is being created.", "Pending", now)
    status = drop_condition(status, ConditionType.CALLBACK_DELIVERED).model_copy(
        update={
            "attempt": attempt,
            "retries": transcription.spec.retries,
            "redeliveries": transcription.spec.redeliveries,
            "job_ref": JobRef(name=build_job_name(transcription.name, attempt)),
            **dict.fromkeys(("waiting_reason", "settled", "pod_name", "start_time", "completion_time")),
            **dict.fromkeys(("failure", "callback")),
        }
    )
    fresh = Seen(transcription.model_copy(update={"status": status}))
    return Decision((PatchStatus(status), CreateJob(attempt)), _queue_deadline(fresh, now))


def _follow(seen: Seen, job: JobView, now: datetime) -> Decision:
    """A live Job: its pod runs, or waits, or is about to."""
    if job.is_deleting:
        return Decision()
    if job.ready > 0:
        return _write(seen, _run(seen, job, now), None)
    first_look = job.created + FIRST_LOOK
    if now < first_look:
        return Decision(wake_at=first_look)
    next_look = now + min(max(FIRST_LOOK, (now - job.created) / 10), LONGEST_LOOK)
    wake_at = min(next_look, _queue_deadline(seen, now) or next_look)
    status = seen.transcription.status
    is_between_pods = status.result is not None or all(pod.is_over or pod.is_ready for pod in seen.pods)
    if is_running(status) and is_between_pods:
        return Decision(wake_at=wake_at)
    why = explain_waiting(seen.pods)
    status = enter(seen.transcription, State.STARTING, WAITING[why], why, now)
    status = status.model_copy(update={"waiting_reason": why, "job_ref": JobRef(name=job.name, uid=job.uid)})
    return _write(seen, status, wake_at)


def _run(seen: Seen, job: JobView, now: datetime) -> Status:
    pod = next((pod.name for pod in seen.pods if pod.is_ready), seen.transcription.status.pod_name)
    status = enter(seen.transcription, State.RUNNING, "Running: the worker's pod is at work.", "PodReady", now)
    return status.model_copy(
        update={
            "waiting_reason": None,
            "job_ref": JobRef(name=job.name, uid=job.uid),
            "pod_name": pod,
            "start_time": status.start_time or now,
        }
    )


def _succeed(seen: Seen, result: Result, now: datetime) -> Status:
    job = seen.job
    status = enter(seen.transcription, State.SUCCEEDED, "The transcript is stored.", "Succeeded", now)
    return status.model_copy(
        update={
            "result": result,
            "waiting_reason": None,
            "start_time": status.start_time or (job.started if job else None),
            "completion_time": now,
        }
    )


def _cancel(transcription: Transcription, now: datetime) -> Status:
    message = REASONS[Reason.CANCELLED].message
    status = enter(transcription, State.CANCELLED, message, Reason.CANCELLED, now)
    return status.model_copy(update={"waiting_reason": None, "completion_time": now})


def _after_the_end(seen: Seen, status: Status, policy: Policy, now: datetime) -> Decision:
    """All that is left when the outcome is known: free the Job, tell the receiver, leave the watch."""
    spec, job = seen.transcription.spec, seen.job
    if spec.retries > status.retries and final_state(status) is State.FAILED and not spec.cancel:
        again = _start_attempt(seen, now)
        return replace(again, steps=(*again.steps, *_expire(job)))
    status = _tend_callback(seen, status, policy, now)
    record = status.callback
    due = record.next_attempt_time if record and record.state is CallbackState.PENDING else None
    status = status.model_copy(
        update={
            "retries": spec.retries,
            "observed_generation": seen.transcription.generation,
            "settled": True if due is None else None,
        }
    )
    steps: list[Step] = []
    if job and not job.ended and not job.is_deleting:
        steps.append(DeleteJob(job))
    if status != seen.transcription.status:
        steps.append(PatchStatus(status))
    steps.extend(_expire(job))
    if status.settled and seen.transcription.labels.get(SETTLED_LABEL) != "true":
        steps.append(Settle())
    is_due = due is not None and due <= now
    return Decision(tuple(steps), None if is_due else due, deliver=is_due)


def _expire(job: JobView | None) -> tuple[Step, ...]:
    return (ExpireJob(job),) if job and job.ended and not job.has_ttl else ()


def _tend_callback(seen: Seen, status: Status, policy: Policy, now: datetime) -> Status:
    transcription, record = seen.transcription, status.callback
    wanted = transcription.spec.redeliveries
    if transcription.spec.callback is None and policy.callback_url is None:
        return status.model_copy(update={"redeliveries": wanted})
    if record is None or wanted > status.redeliveries:
        record = delivery.build_record(build_callback_id(transcription.uid, status.attempt), now)
    elif seen.report and seen.report.callback_id == record.id and record.state is CallbackState.PENDING:
        record = delivery.advance(record, seen.report, policy.retry_schedule)
    record = delivery.plan(record, policy.retry_schedule, now)
    status = status.model_copy(update={"callback": record, "redeliveries": wanted})
    return set_condition(status, delivery.build_condition(record, transcription.generation, now))
