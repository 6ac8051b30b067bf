"""F48 to F51: receivers that are down, refuse, or ask for time; days pass by the injected clock."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from controller.delivery import Report, advance, build_record
from controller.settings import STANDARD_SCHEDULE
from crds.transcriptionjob import CallbackRecord, CallbackState, Transcription
from tests.support.controller_fakes import NOW, UID, Clock, a_transcription
from tests.support.controller_operator import FakeCluster, FakeOutbox, Operator

ID = f"msg_{UID}_0"
FOUR_DAYS = 4 * 86400


class Receiver(FakeOutbox):
    """Answers by the time of day."""

    def __init__(self, clock: Clock, answer: Callable[[datetime], Report]) -> None:
        super().__init__(clock)
        self.times: list[float] = []
        self._answer = answer

    async def send(self, transcription: Transcription) -> Report:
        await super().send(transcription)
        self.times.append((self._clock() - NOW).total_seconds())
        return self._answer(self._clock())


def down_until(seconds: float) -> Callable[[datetime], Report]:
    return lambda now: Report(ID, now, 204 if now >= NOW + timedelta(seconds=seconds) else None)


def play(answer: Callable[[datetime], Report], redeliver_at: float | None = None) -> tuple[CallbackRecord, Receiver]:
    """One that was cancelled, and what becomes of its callback in four days."""
    cluster, clock = FakeCluster(a_transcription(cancel=True)), Clock()
    receiver = Receiver(clock, answer)

    async def scene() -> None:
        operator = Operator(cluster, clock, receiver, callback_retry_schedule=STANDARD_SCHEDULE)
        await operator.settle_down()
        while (clock.now - NOW).total_seconds() < FOUR_DAYS:
            passed = (clock.now - NOW).total_seconds()
            if redeliver_at is not None and passed <= redeliver_at < passed + 60:
                cluster.change_spec("clip", redeliveries=1)
                operator.show()
            clock.advance(60)
            await operator.work()

    asyncio.run(scene())
    record = cluster.transcriptions["clip"].status.callback
    assert record is not None
    return record, receiver


@pytest.mark.parametrize("outage_seconds", [600, 86400, 75 * 3600])
def test_f48_callback_is_delivered_when_the_receiver_is_back(outage_seconds: float) -> None:
    record, receiver = play(down_until(outage_seconds))
    assert record.state is CallbackState.DELIVERED
    assert set(receiver.sent) == {ID}
    assert receiver.times[-1] >= outage_seconds
    assert max(receiver.times[:-1]) < outage_seconds


def test_f48_callback_is_given_up_after_the_schedule_when_the_receiver_stays_down() -> None:
    record, receiver = play(down_until(float("1e9")))
    assert (record.state, record.attempts, record.next_attempt_time) == (CallbackState.FAILED, 10, None)
    waits = [after - before for before, after in zip(receiver.times, receiver.times[1:], strict=False)]
    assert all(wait >= wanted for wait, wanted in zip(waits, STANDARD_SCHEDULE, strict=True))
    assert receiver.times[-1] >= 75 * 3600


def test_f48_callback_is_sent_again_when_it_is_redelivered_after_it_was_given_up() -> None:
    back = 3.5 * 86400
    record, receiver = play(down_until(back), redeliver_at=back + 3600)
    assert (record.state, record.attempts) == (CallbackState.DELIVERED, 1)
    assert set(receiver.sent) == {ID}


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_f49_next_try_waits_as_long_as_the_receiver_asks_when_that_is_longer(code: int) -> None:
    row = advance(build_record(ID, NOW), Report(ID, NOW, code, timedelta(hours=1)), STANDARD_SCHEDULE)
    assert row.next_attempt_time == NOW + timedelta(hours=1)
    impatient = advance(build_record(ID, NOW), Report(ID, NOW, code, timedelta(seconds=1)), STANDARD_SCHEDULE)
    assert impatient.next_attempt_time == NOW + timedelta(seconds=STANDARD_SCHEDULE[0])


def test_f49_next_try_has_jitter_when_the_receiver_is_busy() -> None:
    rows = [build_record(f"msg_{n}", NOW) for n in range(50)]
    times = {advance(row, Report(row.id, NOW, 503), (3600,)).next_attempt_time for row in rows}
    assert len(times) > 25
    assert all(time is not None and time >= NOW + timedelta(hours=1) for time in times)


def test_f50_no_try_follows_when_the_receiver_is_gone() -> None:
    record, receiver = play(lambda now: Report(ID, now, 410))
    assert (record.state, record.last_status_code, record.attempts) == (CallbackState.FAILED, 410, 1)
    assert len(receiver.sent) == 1


@pytest.mark.parametrize("code", [400, 401, 404, 422])
def test_f51_tries_go_on_when_the_receiver_refuses(code: int) -> None:
    record, receiver = play(lambda now: Report(ID, now, code if now < NOW + timedelta(hours=1) else 200))
    assert record.state is CallbackState.DELIVERED
    assert len(receiver.sent) == 5
