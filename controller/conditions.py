"""What each state means in conditions: a table, and the one function that applies it. Pure; called by reconcile."""

from datetime import datetime
from typing import Literal

from crds.transcriptionjob import Condition, ConditionType, State, Status, Transcription

Truth = Literal["True", "False", "Unknown"]
OWN_REASON = ""
"""Stands in the table for the reason that the caller gives."""

TABLE: dict[State, dict[ConditionType, tuple[Truth, str]]] = {
    State.PENDING: {
        ConditionType.RUNNING: ("False", "Pending"),
        ConditionType.SUCCEEDED: ("Unknown", "NotFinished"),
        ConditionType.FINISHED: ("False", "NotFinished"),
        ConditionType.RECONCILING: ("True", "CreatingJob"),
        ConditionType.STALLED: ("False", "Progressing"),
    },
    State.SUSPENDED: {
        ConditionType.RUNNING: ("False", "Suspended"),
        ConditionType.SUSPENDED: ("True", "Suspended"),
        ConditionType.SUCCEEDED: ("Unknown", "NotFinished"),
        ConditionType.FINISHED: ("False", "NotFinished"),
        ConditionType.RECONCILING: ("False", "Suspended"),
        ConditionType.STALLED: ("False", "Suspended"),
    },
    State.QUEUED: {
        ConditionType.RUNNING: ("False", OWN_REASON),
        ConditionType.SUCCEEDED: ("Unknown", "NotFinished"),
        ConditionType.FINISHED: ("False", "NotFinished"),
        ConditionType.RECONCILING: ("True", OWN_REASON),
        ConditionType.STALLED: ("False", "Progressing"),
    },
    State.STARTING: {
        ConditionType.RUNNING: ("False", OWN_REASON),
        ConditionType.SUCCEEDED: ("Unknown", "NotFinished"),
        ConditionType.FINISHED: ("False", "NotFinished"),
        ConditionType.RECONCILING: ("False", "JobCreated"),
        ConditionType.STALLED: ("False", "Progressing"),
    },
    State.RUNNING: {
        ConditionType.RUNNING: ("True", "PodReady"),
        ConditionType.SUCCEEDED: ("Unknown", "NotFinished"),
        ConditionType.FINISHED: ("False", "NotFinished"),
        ConditionType.RECONCILING: ("False", "JobCreated"),
        ConditionType.STALLED: ("False", "Progressing"),
    },
    State.SUCCEEDED: {
        ConditionType.RUNNING: ("False", "Finished"),
        ConditionType.SUCCEEDED: ("True", "TranscriptStored"),
        ConditionType.FINISHED: ("True", "Succeeded"),
        ConditionType.RECONCILING: ("False", "Finished"),
        ConditionType.STALLED: ("False", "Finished"),
    },
    State.FAILED: {
        ConditionType.RUNNING: ("False", "Finished"),
        ConditionType.SUCCEEDED: ("False", OWN_REASON),
        ConditionType.FINISHED: ("True", "Failed"),
        ConditionType.RECONCILING: ("False", "Finished"),
        ConditionType.STALLED: ("True", OWN_REASON),
    },
    State.CANCELLED: {
        ConditionType.RUNNING: ("False", "Finished"),
        ConditionType.SUCCEEDED: ("False", OWN_REASON),
        ConditionType.FINISHED: ("True", "Cancelled"),
        ConditionType.RECONCILING: ("False", "Finished"),
        ConditionType.STALLED: ("False", "Finished"),
    },
}


def final_state(status: Status) -> State | None:
    """The final state that is latched, read from the Finished condition; None while it is not finished."""
    finished = status.condition(ConditionType.FINISHED)
    return State(finished.reason) if finished and finished.status == "True" else None


def is_suspended(status: Status) -> bool:
    """Whether it rests on request."""
    suspended = status.condition(ConditionType.SUSPENDED)
    return suspended is not None and suspended.status == "True"


def is_running(status: Status) -> bool:
    """Whether a pod of this attempt was seen running."""
    running = status.condition(ConditionType.RUNNING)
    return running is not None and running.status == "True"


def enter(transcription: Transcription, state: State, message: str, reason: str, now: datetime) -> Status:
    """The status with the state, its sentence and its conditions; everything else as it was."""
    wanted: dict[ConditionType, tuple[Truth, str]] = {ConditionType.ACCEPTED: ("True", "Accepted")}
    wanted |= {type_: (truth, own or reason) for type_, (truth, own) in TABLE[state].items()}
    status = transcription.status
    if is_suspended(status):
        wanted.setdefault(ConditionType.SUSPENDED, ("False", "Resumed"))
    new = [
        Condition(
            type=type_,
            status=truth,
            reason=own,
            message="The request is accepted." if type_ is ConditionType.ACCEPTED else message,
            observed_generation=transcription.generation,
            last_transition_time=now,
        )
        for type_, (truth, own) in wanted.items()
    ]
    return status.model_copy(
        update={
            "state": state,
            "message": message,
            "observed_generation": transcription.generation,
            "conditions": _merge(status.conditions, new),
        }
    )


def set_condition(status: Status, condition: Condition) -> Status:
    """The status with one condition replaced; its transition time moves only when its truth does."""
    merged = _merge(status.conditions, [condition])
    return status.model_copy(update={"conditions": merged})


def drop_condition(status: Status, type_: ConditionType) -> Status:
    """The status without that condition."""
    return status.model_copy(update={"conditions": tuple(c for c in status.conditions if c.type != type_)})


def _merge(old: tuple[Condition, ...], new: list[Condition]) -> tuple[Condition, ...]:
    merged = {c.type: c for c in old}
    for condition in new:
        before = merged.get(condition.type)
        unchanged = before is not None and before.status == condition.status
        since = before.last_transition_time if before and unchanged else condition.last_transition_time
        merged[condition.type] = condition.model_copy(update={"last_transition_time": since})
    return tuple(merged.values())
