"""The delivery record of a callback: when the next try is due, and what a try changes. Pure; called by reconcile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil

from crds.transcriptionjob import CallbackRecord, CallbackState, Condition, ConditionType

GONE = 410
GONE_MESSAGE = "The receiver says that it is gone for good (410): set another one, or bring it back and redeliver."
MOST_JITTER = 0.1
LONGEST_RETRY_AFTER = timedelta(days=1)
CONDITIONS = {
    CallbackState.PENDING: ("False", "CallbackPending", "The callback is not delivered yet."),
    CallbackState.DELIVERED: ("True", "CallbackDelivered", "The receiver has taken the callback."),
    CallbackState.FAILED: (
        "False",
        "CallbackFailed",
        "The callback was given up: check the receiver, then raise spec.redeliveries.",
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one try; no status code means that no answer came."""

    callback_id: str
    time: datetime
    status_code: int | None = None
    retry_after: timedelta | None = None
    is_hopeless: bool = False
    """The payload cannot be made any more: no try can succeed."""

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def build_record(callback_id: str, now: datetime) -> CallbackRecord:
    """A fresh row, due at once."""
    return CallbackRecord(state=CallbackState.PENDING, id=callback_id, next_attempt_time=now)


def plan(record: CallbackRecord, schedule: Sequence[float], now: datetime) -> CallbackRecord:
    """The row with the time of its next try, where the worker left it open."""
    if record.state is not CallbackState.PENDING or record.next_attempt_time is not None:
        return record
    if record.attempts == 0:
        return record.model_copy(update={"next_attempt_time": now})
    return _postpone(record, schedule, record.last_attempt_time or now, None)


def advance(record: CallbackRecord, report: Report, schedule: Sequence[float]) -> CallbackRecord:
    """The row after one more try: any answer but 2xx is tried again by the schedule, 410 ends it."""
    tried = record.model_copy(
        update={
            "attempts": record.attempts + 1,
            "last_status_code": report.status_code,
            "last_attempt_time": report.time,
            "next_attempt_time": None,
        }
    )
    if report.is_success:
        return tried.model_copy(update={"state": CallbackState.DELIVERED})
    if report.is_hopeless or report.status_code == GONE:
        return tried.model_copy(update={"state": CallbackState.FAILED})
    return _postpone(tried, schedule, report.time, report.retry_after)


def build_condition(record: CallbackRecord, generation: int, now: datetime) -> Condition:
    """CallbackDelivered, as the row stands."""
    truth, reason, message = CONDITIONS[record.state]
    if record.state is CallbackState.FAILED and record.last_status_code == GONE:
        reason, message = "ReceiverGone", GONE_MESSAGE
    return Condition(
        type=ConditionType.CALLBACK_DELIVERED,
        status="True" if truth == "True" else "False",
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=now,
    )


def _postpone(
    record: CallbackRecord, schedule: Sequence[float], since: datetime, retry_after: timedelta | None
) -> CallbackRecord:
    if record.attempts > len(schedule):
        return record.model_copy(update={"state": CallbackState.FAILED, "next_attempt_time": None})
    wait = timedelta(seconds=schedule[record.attempts - 1])
    longer = max(wait, min(retry_after or wait, LONGEST_RETRY_AFTER))
    return record.model_copy(update={"next_attempt_time": since + longer + _find_jitter(record, longer)})


def _find_jitter(record: CallbackRecord, wait: timedelta) -> timedelta:
    """A part more, so that callbacks that failed together do not come together again; the same on every look."""
    seed = sha256(f"{record.id}/{record.attempts}".encode()).digest()
    part = MOST_JITTER * int.from_bytes(seed[:4]) / 2**32
    return timedelta(seconds=ceil(part * wait.total_seconds()))
