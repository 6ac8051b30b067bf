"""The end of a transcription: its final status, and all that is left to do then. Pure; called by reconcile."""

from datetime import datetime

from controller import delivery
from controller.conditions import enter, set_condition
from controller.decision import (
    Decision,
    DeleteJob,
    DeleteTranscription,
    PatchStatus,
    Policy,
    Seen,
    Settle,
    Step,
    Unsettle,
)
from controller.retention import find_expiry, tend_finalizer
from crds.reasons import REASONS, Reason
from crds.transcriptionjob import SETTLED_LABEL, CallbackState, Failure, Result, State, Status, Transcription
from crds.worker import build_callback_id

NOTHING_SAID = (
    "The transcript is stored, and empty: no speech was found. Check that the file has the right sound track."
)


def succeed(seen: Seen, result: Result, now: datetime) -> Status:
    """The transcript is stored."""
    job = seen.job
    message = NOTHING_SAID if result.segments == 0 else "The transcript is stored."
    status = enter(seen.transcription, State.SUCCEEDED, message, "Succeeded", now)
    return status.model_copy(
        update={
            "result": result,
            "waiting_reason": None,
            "start_time": status.start_time or (job.started if job else None),
            "completion_time": now,
        }
    )


def cancel(transcription: Transcription, now: datetime) -> Status:
    """It was stopped on request."""
    message = REASONS[Reason.CANCELLED].message
    status = enter(transcription, State.CANCELLED, message, Reason.CANCELLED, now)
    return status.model_copy(update={"waiting_reason": None, "completion_time": now})


def fail(transcription: Transcription, failure: Failure, now: datetime) -> Status:
    """It failed for a reason that no further attempt of our own mends."""
    status = enter(transcription, State.FAILED, failure.message, failure.reason, now)
    return status.model_copy(update={"failure": failure, "waiting_reason": None, "completion_time": now})


def follow_the_end(seen: Seen, status: Status, policy: Policy, now: datetime) -> Decision:
    """All that is left when the outcome is known: latch it, free the Job, tell the receiver, leave the watch."""
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
    steps = conclude(seen, status)
    if due is not None:
        return Decision(steps, None, deliver=True) if due <= now else Decision(steps, due)
    expiry = find_expiry(seen.transcription, status.completion_time, policy)
    if expiry is None or expiry > now:
        return Decision(steps, expiry)
    return Decision((*steps, DeleteTranscription()))


def conclude(seen: Seen, status: Status) -> tuple[Step, ...]:
    """The end is latched before the Job goes, and with it the evidence; the label comes last.

    Whoever holds its outputs stays in the watch, so that its deletion is seen at once.
    """
    transcription = seen.transcription
    is_labelled = has_label(transcription)
    is_out = bool(status.settled) and not transcription.spec.delete_outputs
    steps: list[Step] = [Unsettle()] if is_labelled and not is_out else []
    steps.extend(tend_finalizer(transcription))
    if status != transcription.status:
        steps.append(PatchStatus(status))
    steps.extend(free_jobs(seen))
    if is_out and not is_labelled:
        steps.append(Settle())
    return tuple(steps)


def has_label(transcription: Transcription) -> bool:
    """Whether the label is on that takes it out of the watch."""
    return transcription.labels.get(SETTLED_LABEL) == "true"


def free_jobs(seen: Seen) -> tuple[Step, ...]:
    """No Job is left at work, neither that of this attempt nor of one before; ended ones go by themselves."""
    jobs = (seen.job, *seen.others)
    return tuple(DeleteJob(job) for job in jobs if job is not None and not job.is_spent)


def _tend_callback(seen: Seen, status: Status, policy: Policy, now: datetime) -> Status:
    transcription, record = seen.transcription, status.callback
    wanted = transcription.spec.redeliveries
    if status.settled and wanted <= status.redeliveries:
        return status
    if transcription.spec.callback is None and policy.callback_url is None:
        return _tell_nobody(status.model_copy(update={"redeliveries": wanted}), transcription, now)
    if record is None or wanted > status.redeliveries:
        record = delivery.build_record(build_callback_id(transcription.uid, status.attempt), now)
    elif seen.report and seen.report.callback_id == record.id and record.state is CallbackState.PENDING:
        record = delivery.advance(record, seen.report, policy.retry_schedule)
    record = delivery.plan(record, policy.retry_schedule, now)
    status = status.model_copy(update={"callback": record, "redeliveries": wanted})
    return set_condition(status, delivery.build_condition(record, transcription.generation, now))


def _tell_nobody(status: Status, transcription: Transcription, now: datetime) -> Status:
    """There is no receiver; one that the installation had is gone, and what it was to be told is given up."""
    if status.callback is None or status.callback.state is not CallbackState.PENDING:
        return status
    record = status.callback.model_copy(update={"state": CallbackState.FAILED, "next_attempt_time": None})
    condition = delivery.build_condition(record, transcription.generation, now)
    return set_condition(status.model_copy(update={"callback": record}), condition)
