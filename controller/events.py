"""What people see in `kubectl describe`: one Event for each thing that happens. Pure; the herald posts them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.conditions import final_state, is_running, is_suspended
from crds.transcriptionjob import (
    API_VERSION,
    GROUP,
    KIND,
    CallbackState,
    ConditionType,
    State,
    Status,
    Transcription,
)

REASONS_OF_END = {State.SUCCEEDED: "Completed", State.FAILED: "Failed", State.CANCELLED: "Cancelled"}
WARNINGS = {"Failed", "Retrying", "CallbackFailed"}
ACCEPTED = "Accepted"
RECENT = timedelta(minutes=2)
NOTE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened, in one attempt."""

    reason: str
    note: str


def find_notices(before: Status, after: Status) -> list[Notice]:
    """What happened between two versions of a status."""
    message = after.message or ""
    notices = []
    if before.condition(ConditionType.ACCEPTED) is None and after.condition(ConditionType.ACCEPTED) is not None:
        notices.append(Notice(ACCEPTED, "The request is accepted."))
    if is_suspended(after) and not is_suspended(before):
        notices.append(Notice("Suspended", message))
    if after.attempt > before.attempt > 0:
        notices.append(_name_another(before, after))
    if _knows_job(after) and not _knows_job(before):
        notices.append(tell_of_job(after))
    if is_running(after) and not is_running(before):
        notices.append(Notice("Started", f"Pod {after.pod_name} is at work."))
    end = final_state(after)
    if end is not None and final_state(before) is None:
        notices.append(Notice(REASONS_OF_END[end], _describe_end(after)))
    if _is_given_up(after) and not _is_given_up(before):
        notices.append(Notice("CallbackFailed", "The callback was given up: check the receiver, then redeliver it."))
    return notices


def tell_of_job(status: Status) -> Notice:
    """The Job is there: said when it is made, and again when it is first seen, should the answer have been lost."""
    return Notice("JobCreated", f"Job {status.job_ref.name} is there." if status.job_ref else "")


def find_recent_notices(status: Status, now: datetime) -> list[Notice]:
    """What a controller that has died may have left unsaid: all that happened a moment ago."""
    old = tuple(c for c in status.conditions if now - c.last_transition_time >= RECENT)
    callback = status.callback
    is_new = callback and callback.last_attempt_time and now - callback.last_attempt_time < RECENT
    before = Status(attempt=status.attempt, conditions=old, callback=None if is_new else callback)
    return find_notices(before, status)


def build_event(transcription: Transcription, notice: Notice, instance: str, now: datetime) -> dict[str, Any]:
    """The events.k8s.io/v1 Event; its name says what happened in which attempt, so that it is posted once."""
    t = transcription
    attempt = 0 if notice.reason == ACCEPTED else t.status.attempt
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{t.name}.{t.uid[:8]}.{attempt}-{notice.reason.lower()}",
            "namespace": t.namespace,
        },
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{GROUP}/controller",
        "reportingInstance": instance,
        "action": notice.reason,
        "reason": notice.reason,
        "type": "Warning" if notice.reason in WARNINGS else "Normal",
        "note": notice.note.encode()[:NOTE_BYTES].decode(errors="ignore"),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": t.name,
            "namespace": t.namespace,
            "uid": t.uid,
        },
    }


def _name_another(before: Status, after: Status) -> Notice:
    if not before.has_attempt:
        return Notice("Resumed", f"It goes on with attempt {after.attempt}.")
    if final_state(before) is State.FAILED:
        return Notice("Retrying", f"Asked to try again: attempt {after.attempt}.")
    return Notice(
        "Retrying", f"Attempt {before.attempt} was lost to its place: attempt {after.attempt} goes elsewhere."
    )


def _describe_end(status: Status) -> str:
    failure = status.failure
    return f"{failure.reason}: {failure.message}" if failure else status.message or ""


def _knows_job(status: Status) -> bool:
    return status.job_ref is not None and status.job_ref.uid is not None


def _is_given_up(status: Status) -> bool:
    return status.callback is not None and status.callback.state is CallbackState.FAILED
