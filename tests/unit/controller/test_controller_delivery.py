from datetime import datetime, timedelta

import pytest

from controller.delivery import Report, advance, build_condition, build_record
from controller.settings import STANDARD_SCHEDULE
from crds.transcriptionjob import CallbackRecord, CallbackState
from tests.support.controller_fakes import NOW


def play(callback_id: str, *reports: Report) -> list[datetime | None]:
    """When each next try is due."""
    record, times = build_record(callback_id, NOW), []
    for report in reports:
        record = advance(record, report, STANDARD_SCHEDULE)
        times.append(record.next_attempt_time)
    return times


def test_jitter_is_some_part_more_than_the_schedule_when_a_try_fails() -> None:
    waits = []
    for number in range(200):
        (due,) = play(f"msg_{number}", Report(f"msg_{number}", NOW, 503, timedelta(seconds=1000)))
        assert due is not None
        waits.append((due - NOW).total_seconds())
    assert min(waits) >= 1000
    assert max(waits) <= 1100
    assert len(set(waits)) > 50


def test_jitter_is_the_same_when_it_is_asked_for_again() -> None:
    report = Report("msg", NOW, 500)
    assert play("msg", report, report) == play("msg", report, report)


def test_jitter_never_makes_a_try_earlier_than_the_receiver_asked_for() -> None:
    (due,) = play("msg", Report("msg", NOW, 429, timedelta(hours=2)))
    assert due is not None
    assert due >= NOW + timedelta(hours=2)


@pytest.mark.parametrize(("code", "reason"), [(410, "ReceiverGone"), (500, "CallbackFailed"), (None, "CallbackFailed")])
def test_condition_says_why_when_it_was_given_up(code: int | None, reason: str) -> None:
    record = CallbackRecord(state=CallbackState.FAILED, id="msg", attempts=1, last_status_code=code)
    condition = build_condition(record, 1, NOW)
    assert (condition.status, condition.reason) == ("False", reason)
    assert "redeliver" in (condition.message or "").lower()
