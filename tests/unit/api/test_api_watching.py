"""Waiting for news: the long-poll and the stream of events."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api import watching
from api.documents import render_status
from api.row import Row
from api.watching import answer_events, stream_events, wait_for_news
from api.wiring import Parts
from crds.transcriptionjob import State
from tests.support.api_fakes import FakeStore, a_result, a_row

LONG = 300.0
RUNNING = {"state": "Running", "attempt": 1}
DONE = {"state": "Succeeded", "attempt": 1, "result": a_result()}


def parts_over(store: FakeStore) -> Parts:
    """Watching uses the store alone."""
    return cast(Parts, SimpleNamespace(store=store))


def running(version: int, percent: int, name: str = "a") -> Row:
    return a_row(name, version, RUNNING | {"progress": {"podUID": "p", "attempt": 1, "percent": percent}})


def document(row: Row, store: FakeStore) -> dict[str, Any]:
    shown: dict[str, Any] = render_status(row, store.rows).model_dump(mode="json", exclude_none=True)
    return shown


def parse(event: bytes) -> tuple[str, dict[str, Any]]:
    """The id and the document of an event that has exactly these two lines."""
    lines = event.decode().removesuffix("\n\n").split("\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert sorted(fields) == ["data", "id"]
    assert len(lines) == 2
    return fields["id"], json.loads(fields["data"])


def play(story: Coroutine[Any, Any, None]) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await story

    asyncio.run(run())


async def waiting(store: FakeStore, count: int = 1) -> None:
    """Until so many wait."""
    while len(store.waiters) != count:  # noqa: ASYNC110  # waiting tells nobody
        await asyncio.sleep(0)


def a_stream(store: FakeStore, row: Row, last: str | None = None, seconds: float = LONG) -> AsyncGenerator[bytes]:
    return stream_events(row, last, parts_over(store), seconds)


async def ids(stream: AsyncGenerator[bytes]) -> list[str]:
    return [parse(event)[0] async for event in stream]


def test_news_are_told_at_once_when_the_job_has_ended() -> None:
    store = FakeStore(row := a_row("a", 5, DONE))
    play(check_news(store, row, row))


async def check_news(store: FakeStore, row: Row, expected: Row | None, seconds: float = LONG) -> None:
    assert await wait_for_news(row, seconds, parts_over(store)) == expected
    assert len(store.waiters) == 0


def test_news_are_told_when_the_document_changes_and_not_before() -> None:
    store = FakeStore(row := running(5, 10))

    async def story() -> None:
        wait = asyncio.create_task(wait_for_news(row, LONG, parts_over(store)))
        await waiting(store)
        store.tell(replace(row, version=6, uid=row.uid))
        await asyncio.sleep(0)
        await waiting(store)
        assert not wait.done()
        store.tell(running(7, 11))
        assert await wait == running(7, 11)

    play(story())


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_the_present_row_is_told_when_the_time_is_over(seconds: float) -> None:
    store = FakeStore(row := running(5, 10))
    play(check_news(store, row, row, seconds))


@pytest.mark.parametrize("news", ["gone", "deleting", "remade"])
def test_none_is_told_and_the_stream_ends_when_it_is_deleted(news: str) -> None:
    store = FakeStore(row := running(5, 10))
    stream = a_stream(store, row)

    async def story() -> None:
        await anext(stream)
        wait = asyncio.create_task(wait_for_news(row, LONG, parts_over(store)))
        rest = asyncio.create_task(ids(stream))
        await waiting(store, 2)
        if news == "gone":
            store.forget("a")
        else:
            store.tell(replace(row, version=6, **({"is_deleting": True} if news == "deleting" else {"uid": "new"})))
        assert await wait is None
        assert await rest == []

    play(story())


def test_everybody_is_let_go_when_the_replica_stops() -> None:
    store = FakeStore(row := running(5, 10))
    stream = a_stream(store, row)

    async def story() -> None:
        await anext(stream)
        wait = asyncio.create_task(wait_for_news(row, LONG, parts_over(store)))
        rest = asyncio.create_task(ids(stream))
        await waiting(store, 2)
        store.release()
        assert await wait == row
        assert await rest == []
        assert await ids(a_stream(store, row)) == ["5"]

    play(story())


def test_each_change_of_the_document_is_one_event_and_the_final_one_the_last() -> None:
    store = FakeStore(row := a_row("a", 5))
    unseen = replace(running(6, 10), version=7)
    rows = [row, running(6, 10), running(8, 20), a_row("a", 9, DONE)]

    async def story() -> None:
        rest = asyncio.create_task(collect(a_stream(store, row)))
        for news in (rows[1], unseen, rows[2], rows[3]):
            await settle(store)
            store.tell(news)
        events = [parse(event) for event in await rest]
        assert [event_id for event_id, _ in events] == ["5", "6", "8", "9"]
        assert [shown["progress"] for _, shown in events] == [0, 10, 20, 100]
        assert events[-1][1] == document(rows[3], store)
        assert len(store.waiters) == 0

    play(story())


async def collect(stream: AsyncGenerator[bytes]) -> list[bytes]:
    return [event async for event in stream]


async def settle(store: FakeStore) -> None:
    """Until the one stream has seen what was told and waits again."""
    for _ in range(5):
        await asyncio.sleep(0)
    await waiting(store)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, ["5", "6"]),
        ("4", ["5", "6"]),
        ("5", ["6"]),
        ("x", ["5", "6"]),
        ("-1", ["5", "6"]),
        ("9" * 20, ["5", "6"]),
    ],
)
def test_a_client_that_comes_back_is_told_what_it_has_not_seen(last: str | None, expected: list[str]) -> None:
    store = FakeStore(row := running(5, 10))

    async def story() -> None:
        rest = asyncio.create_task(ids(a_stream(store, row, last)))
        await settle(store)
        store.tell(a_row("a", 6, DONE))
        assert await rest == expected

    play(story())


def test_a_client_of_a_replica_that_was_ahead_is_told_what_comes_after_that() -> None:
    store = FakeStore(row := running(5, 10))

    async def story() -> None:
        rest = asyncio.create_task(ids(a_stream(store, row, "7")))
        for news in (running(6, 20), running(7, 30), a_row("a", 8, DONE)):
            await settle(store)
            store.tell(news)
        assert await rest == ["8"]

    play(story())


def test_a_version_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "CATCH_UP_SECONDS", 0.001)
    store = FakeStore(row := a_row("a", 5, DONE))
    play(check_ids(a_stream(store, row, "7"), ["5"]))


async def check_ids(stream: AsyncGenerator[bytes], expected: list[str]) -> None:
    assert await ids(stream) == expected


def test_there_is_nothing_more_when_the_final_event_has_been_seen() -> None:
    store = FakeStore(row := a_row("a", 5, DONE))
    assert answer_events(row, "5", parts_over(store)).status_code == 204
    for last in (None, "4", "6", "x"):
        answer = answer_events(row, last, parts_over(store))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
    running_row = running(5, 10)
    assert answer_events(running_row, "5", parts_over(store)).status_code == 200


def test_a_comment_keeps_a_silent_stream_open_and_nothing_is_left_when_the_client_goes() -> None:
    store = FakeStore(row := running(5, 10))
    stream = a_stream(store, row, seconds=0.001)

    async def story() -> None:
        await anext(stream)
        comments = [await anext(stream) for _ in range(3)]
        assert all(comment.startswith(b":") and comment.endswith(b"\n\n") for comment in comments)
        rest = asyncio.create_task(collect(a_stream(store, row)))
        await waiting(store)
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
        assert len(store.waiters) == 0
        await stream.aclose()

    play(story())


def test_moving_up_in_line_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LINE_SECONDS", 0.001)
    first, second = a_row("first", 1), a_row("second", 2)

    async def story() -> None:
        store = FakeStore(first, second)
        stream = a_stream(store, second)
        assert parse(await anext(stream))[1]["queue"] == {"position": 2}
        news = asyncio.ensure_future(wait_for_news(second, LONG, parts_over(store)))
        await waiting(store)
        store.rows.see(replace(first, state=State.RUNNING, version=3))
        assert await news == second
        event_id, told = parse(await anext(stream))
        assert (event_id, told["queue"]) == ("2", {"position": 1})
        await stream.aclose()

    play(story())
