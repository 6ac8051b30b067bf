"""What to do next with a transcription: decide() is a function of what is seen, and does nothing itself.

Called by the loop with the resource, its Job and pods. It decides by conditions and facts, never by `state`, and asks
for nothing twice: deciding again on its own outcome gives no steps.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from controller import delivery
from controller.conditions import drop_condition, enter, final_state, is_running, set_condition
from controller.deadlines import find_deadline
from controller.decision import (
    CreateJob,
    Decision,
    DeleteJob,
    ExpireJob,
    PatchStatus,
    Policy,
    Seen,
    Settle,
    Step,
    Unsettle,
)
from controller.outcome import build_failure, explain_waiting, judge
from controller.views import JobView
from crds.reasons import REASONS, WAITING, Reason, WaitingReason
from crds.transcriptionjob import (
    SETTLED_LABEL,
    CallbackState,
    ConditionType,
    Failure,
    JobRef,
    Result,
    Spec,
    State,
    Status,
    Transcription,
)
from crds.worker import build_callback_id, build_job_name

FIRST_LOOK = timedelta(seconds=10)
LONGEST_LOOK = timedelta(minutes=5)
TURBO_MODELS = {"turbo", "large-v3-turbo"}
IMPOSSIBLE = "Turbo models cannot translate: use large-v3, or task transcribe."


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
    end = status if final_state(status) is not None else _find_end(seen, policy, now)
    if end is not None:
        return _after_the_end(seen, end, policy, now)
    if status.attempt == 0:
        return _start_attempt(seen, now) if seen.has_place else wait(seen, WaitingReason.NO_PLACE, now)
    if job is None:
        return Decision((CreateJob(status.attempt),), _deadline_time(seen, status))
    return _follow(seen, job, now)


def fail(seen: Seen, failure: Failure, policy: Policy, now: datetime) -> Decision:
    """Latch the failure; also called by the loop when the cluster refuses the Job."""
    return _after_the_end(seen, _fail(seen.transcription, failure, now), policy, now)


def wait(seen: Seen, why: WaitingReason, now: datetime) -> Decision:
    """Stay in line; also called by the loop when a quota leaves no room."""
    status = enter(seen.transcription, State.QUEUED, WAITING[why], why, now)
    return _write(seen, status.model_copy(update={"waiting_reason": why}))


def _find_end(seen: Seen, policy: Policy, now: datetime) -> Status | None:
    """The final status, when anything ends it. A stored result counts, whatever that is."""
    transcription, job = seen.transcription, seen.job
    spec, stored = transcription.spec, transcription.status.result
    verdict = judge(transcription, job, seen.pods) if job else stored
    deadline = find_deadline(transcription, transcription.status, job is not None and job.ready > 0)
    if verdict is None and deadline is not None and deadline.time <= now:
        verdict = build_failure(deadline.reason)
    if stored is not None and (verdict is not None or spec.cancel):
        verdict = stored
    if isinstance(verdict, Result):
        return _succeed(seen, verdict, now)
    if spec.cancel:
        return _cancel(transcription, now)
    if verdict is None and transcription.status.attempt == 0 and _is_impossible(spec, policy):
        verdict = build_failure(Reason.INVALID_TASK, IMPOSSIBLE)
    return _fail(transcription, verdict, now) if verdict else None


def _is_impossible(spec: Spec, policy: Policy) -> bool:
    """The schema refuses a turbo model that is named; here it may be the installation's default."""
    return spec.task == "translate" and (spec.model or policy.default_model) in TURBO_MODELS


def _deadline_time(seen: Seen, status: Status) -> datetime | None:
    deadline = find_deadline(seen.transcription, status, seen.job is not None and seen.job.ready > 0)
    return deadline.time if deadline else None


def _write(seen: Seen, status: Status, look_at: datetime | None = None) -> Decision:
    changed = status != seen.transcription.status
    times = [time for time in (look_at, _deadline_time(seen, status)) if time is not None]
    return Decision((PatchStatus(status),) if changed else (), min(times, default=None))


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
    return Decision((PatchStatus(status), CreateJob(attempt)), _deadline_time(Seen(transcription), status))


def _follow(seen: Seen, job: JobView, now: datetime) -> Decision:
    """A live Job: its pod runs, or waits, or is about to."""
    status = seen.transcription.status
    if job.is_deleting:
        return _write(seen, status)
    if job.ready > 0:
        return _write(seen, _run(seen, job, now))
    first_look = job.created + FIRST_LOOK
    if now < first_look:
        return _write(seen, status, first_look)
    next_look = now + min(max(FIRST_LOOK, (now - job.created) / 10), LONGEST_LOOK)
    is_between_pods = status.result is not None or all(pod.is_over or pod.is_ready for pod in seen.pods)
    if is_running(status) and is_between_pods:
        return _write(seen, status, next_look)
    why = explain_waiting(seen.pods)
    status = enter(seen.transcription, State.STARTING, WAITING[why], why, now)
    status = status.model_copy(update={"waiting_reason": why, "job_ref": JobRef(name=job.name, uid=job.uid)})
    return _write(seen, status, next_look)


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


def _fail(transcription: Transcription, failure: Failure, now: datetime) -> Status:
    status = enter(transcription, State.FAILED, failure.message, failure.reason, now)
    return status.model_copy(update={"failure": failure, "waiting_reason": None, "completion_time": now})


def _after_the_end(seen: Seen, status: Status, policy: Policy, now: datetime) -> Decision:
    """All that is left when the outcome is known: latch it, free the Job, tell the receiver, leave the watch."""
    if _is_retry_due(seen.transcription.spec, status, policy):
        return _retry(seen, status, now)
    status = _tend_callback(seen, status, policy, now)
    record = status.callback
    due = record.next_attempt_time if record and record.state is CallbackState.PENDING else None
    status = status.model_copy(
        update={
            "retries": seen.transcription.spec.retries,
            "observed_generation": seen.transcription.generation,
            "settled": True if due is None else None,
        }
    )
    is_due = due is not None and due <= now
    return Decision(_conclude(seen, status), None if is_due else due, deliver=is_due)


def _conclude(seen: Seen, status: Status) -> tuple[Step, ...]:
    """The end is latched before the Job goes, and with it the evidence; the label comes last."""
    is_labelled = _is_labelled(seen.transcription)
    steps: list[Step] = [Unsettle()] if is_labelled and not status.settled else []
    if status != seen.transcription.status:
        steps.append(PatchStatus(status))
    steps.extend(_free(seen.job))
    if status.settled and not is_labelled:
        steps.append(Settle())
    return tuple(steps)


def _is_labelled(transcription: Transcription) -> bool:
    return transcription.labels.get(SETTLED_LABEL) == "true"


def _free(job: JobView | None) -> tuple[Step, ...]:
    if job is None or job.is_deleting or (job.ended and job.has_ttl):
        return ()
    return (ExpireJob(job),) if job.ended else (DeleteJob(job),)


def _is_retry_due(spec: Spec, status: Status, policy: Policy) -> bool:
    asked = spec.retries > status.retries and not spec.cancel
    return asked and final_state(status) is State.FAILED and not _is_impossible(spec, policy)


def _retry(seen: Seen, status: Status, now: datetime) -> Decision:
    """The next attempt, once the last one is latched and its Job on the way out, and there is a place."""
    if final_state(seen.transcription.status) is None:
        return Decision(_conclude(seen, status), now)
    before: tuple[Step, ...] = (Unsettle(),) if _is_labelled(seen.transcription) else ()
    before += _free(seen.job)
    if not seen.has_place:
        return Decision(before)
    again = _start_attempt(seen, now)
    return replace(again, steps=before + again.steps)


def _tend_callback(seen: Seen, status: Status, policy: Policy, now: datetime) -> Status:
    transcription, record = seen.transcription, status.callback
    wanted = transcription.spec.redeliveries
    if status.settled and wanted <= status.redeliveries:
        return status
    if transcription.spec.callback is None and policy.callback_url is None:
        return status.model_copy(update={"redeliveries": wanted})
    if record is None or wanted > status.redeliveries:
        record = delivery.build_record(build_callback_id(transcription.uid, status.attempt), now)
    elif seen.report and seen.report.callback_id == record.id and record.state is CallbackState.PENDING:
        record = delivery.advance(record, seen.report, policy.retry_schedule)
    record = delivery.plan(record, policy.retry_schedule, now)
    status = status.model_copy(update={"callback": record, "redeliveries": wanted})
    return set_condition(status, delivery.build_condition(record, transcription.generation, now))
