"""Until when a transcription may wait, and until when it may run. Pure; called by reconcile."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from crds.reasons import Reason
from crds.transcriptionjob import ConditionType, Status, Transcription


@dataclass(frozen=True, slots=True)
class Deadline:
    time: datetime
    reason: Reason


def find_deadline(transcription: Transcription, status: Status, is_ready: bool) -> Deadline | None:
    """The one that comes first; None when it has just become ready, and no start is on record yet."""
    limits, since = transcription.spec.limits, None if is_ready else _waiting_since(transcription, status)
    deadlines = []
    if status.start_time is not None:
        end = status.start_time + timedelta(seconds=limits.run_seconds)
        deadlines.append(Deadline(end, Reason.RUN_DEADLINE_EXCEEDED))
    if since is not None:
        deadlines.append(Deadline(since + timedelta(seconds=limits.queue_seconds), Reason.QUEUE_DEADLINE_EXCEEDED))
    return min(deadlines, key=lambda deadline: deadline.time, default=None)


def _waiting_since(transcription: Transcription, status: Status) -> datetime | None:
    """Since when no pod is ready: the request or its retry, or the loss of the pod that ran."""
    has_run = status.start_time is not None
    condition = status.condition(ConditionType.RUNNING if has_run else ConditionType.FINISHED)
    if condition is not None and condition.status == "False":
        return condition.last_transition_time
    return None if has_run else transcription.created
