"""Until when a transcription may wait, run, be silent and take in all. Pure; called by reconcile."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.conditions import is_running, is_suspended
from controller.decision import Policy, Seen
from crds.reasons import Reason
from crds.transcriptionjob import ConditionType, Status


@dataclass(frozen=True, slots=True)
class Deadline:
    time: datetime
    reason: Reason


def find_deadline(seen: Seen, status: Status, policy: Policy) -> Deadline | None:
    """The one that comes first; None when there is none, as while it is suspended."""
    if not status.has_attempt and (seen.transcription.spec.suspend or is_suspended(status)):
        return None
    found = [*_find_limits(seen, status), *_find_silence(seen, status, policy)]
    return min(found, key=lambda deadline: deadline.time, default=None)


def _find_limits(seen: Seen, status: Status) -> list[Deadline]:
    limits, deadlines = seen.transcription.spec.limits, []
    if status.start_time is not None:
        end = status.start_time + timedelta(seconds=limits.run_seconds)
        deadlines.append(Deadline(end, Reason.RUN_DEADLINE_EXCEEDED))
    since = _waiting_since(seen, status)
    if since is not None:
        deadlines.append(Deadline(since + timedelta(seconds=limits.queue_seconds), Reason.QUEUE_DEADLINE_EXCEEDED))
    asked = _latest_false(status, ConditionType.FINISHED, ConditionType.SUSPENDED) or seen.transcription.created
    deadlines.append(Deadline(asked + timedelta(seconds=limits.total_seconds), Reason.TOTAL_DEADLINE_EXCEEDED))
    return deadlines


def _waiting_since(seen: Seen, status: Status) -> datetime | None:
    """Since when no pod is ready: the request, its retry, the end of a suspension, or the loss of the pod that ran."""
    if seen.job is not None and seen.job.ready > 0:
        return None
    if is_running(status):
        return None
    types = (ConditionType.FINISHED, ConditionType.RUNNING, ConditionType.SUSPENDED)
    return _latest_false(status, *types) or seen.transcription.created


def _find_silence(seen: Seen, status: Status, policy: Policy) -> list[Deadline]:
    """A worker at work reports at least that it lives; one on a lost node is still called running by its pod."""
    since = [pod.started or pod.created for pod in seen.pods if pod.is_at_work]
    if seen.heard is None or not since or (seen.job is not None and seen.job.is_suspended):
        return []
    running = status.condition(ConditionType.RUNNING)
    if running is not None and running.status == "True":
        since.append(running.last_transition_time)
    return [Deadline(max(seen.heard, *since) + policy.heartbeat, Reason.STALE_HEARTBEAT)]


def _latest_false(status: Status, *types: ConditionType) -> datetime | None:
    """When the last of these conditions became false; None when none is."""
    found = [status.condition(type_) for type_ in types]
    return max((c.last_transition_time for c in found if c is not None and c.status == "False"), default=None)
