import asyncio
from typing import Any

import pytest

from controller import herald as module
from controller.errors import RefusedError, TransientError
from controller.events import Notice
from controller.herald import Herald
from controller.outcome import build_failure
from controller.queue import KeyQueue
from crds.reasons import Reason
from crds.transcriptionjob import State
from tests.support.controller_fakes import Clock, a_transcription, final

TRANSCRIPTION = a_transcription()
AWAY, NO = TransientError("away"), RefusedError("no")


class Board:
    """Takes Events, or raises what it is given, one after the other."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.tries = 0
        self.posted: list[str] = []

    async def create_event(self, event: dict[str, Any]) -> None:
        self.tries += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.posted.append(event["reason"])


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited between tries."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", wait)
    return waited


def tell(board: Board, *reasons: str) -> None:
    door: Any = board
    herald = Herald(door, KeyQueue(Clock()), "pod-1", Clock())
    herald.tell(TRANSCRIPTION, [Notice(reason, "note") for reason in reasons])
    asyncio.run(herald.empty())


def test_events_are_posted_in_order() -> None:
    board = Board()
    tell(board, "Accepted", "JobCreated", "Started")
    assert board.posted == ["Accepted", "JobCreated", "Started"]


def test_event_is_posted_when_the_api_is_back(pauses: list[float]) -> None:
    board = Board(AWAY, AWAY)
    tell(board, "Accepted", "Started")
    assert board.posted == ["Accepted", "Started"]
    assert pauses == [1, 5]


def test_event_is_given_up_when_the_api_stays_away(pauses: list[float]) -> None:
    board = Board(AWAY, AWAY, AWAY, AWAY)
    tell(board, "Accepted", "Started")
    assert board.posted == ["Started"]
    assert pauses == [1, 5, 15]


def test_event_is_given_up_at_once_when_it_is_refused(pauses: list[float]) -> None:
    board = Board(NO)
    tell(board, "Accepted", "Started")
    assert (board.posted, board.tries, pauses) == (["Started"], 2, [])


def test_events_are_dropped_when_too_many_wait(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    board = Board()
    tell(board, "Accepted", "JobCreated", "Started")
    assert board.posted == ["Accepted", "JobCreated"]
    assert [record.reason for record in caplog.records] == ["Started"]


def test_what_another_hand_has_written_is_told_once_when_it_is_seen() -> None:
    board = Board()
    door: Any = board
    herald = Herald(door, KeyQueue(Clock()), "pod-1", Clock())
    new = a_transcription()
    ended = new.model_copy(update={"status": final(State.FAILED, failure=build_failure(Reason.NO_AUDIO))})
    for seen in (new, ended, ended):
        herald.follow(seen)
    asyncio.run(herald.empty())
    assert board.posted == ["Accepted", "Failed"]


def test_what_happened_long_ago_is_not_told_at_the_first_look() -> None:
    board, clock = Board(), Clock()
    door: Any = board
    herald = Herald(door, KeyQueue(clock), "pod-1", clock)
    clock.advance(3600)
    herald.follow(a_transcription(final(State.FAILED, failure=build_failure(Reason.NO_AUDIO))))
    asyncio.run(herald.empty())
    assert board.posted == []


def test_event_waits_while_a_transcription_waits_for_its_job_but_not_for_ever() -> None:
    async def scene() -> None:
        board, clock = Board(), Clock()
        door: Any = board
        queue = KeyQueue(clock)
        herald = Herald(door, queue, "pod-1", clock)
        queue.add("new", urgent=True)
        herald.tell(TRANSCRIPTION, [Notice("Accepted", "note")])
        posting = asyncio.create_task(herald.post_one())
        for _ in range(5):
            await asyncio.wait({posting}, timeout=0)
        assert board.posted == []
        await queue.get()
        await posting
        assert board.posted == ["Accepted"]
        queue.add("newer", urgent=True)
        herald.tell(TRANSCRIPTION, [Notice("Started", "note")])
        clock.advance(6)
        await herald.post_one()
        assert board.posted == ["Accepted", "Started"]

    asyncio.run(scene())
