"""The stream of events and the long-poll over real connections, from a real uvicorn."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated, Any, cast

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Header, Response

from api.documents import render_status
from api.row import Row
from api.server import Server
from api.watching import answer_events, wait_for_news
from api.wiring import Parts
from tests.support.api_fakes import FakeStore, a_result, a_row

PATIENCE_SECONDS = 30
DONE = {"state": "Succeeded", "attempt": 1, "result": a_result()}


@dataclass
class EventSource:
    """Reads a stream as browsers do: by the rules of the HTML standard, and again with the last id when it ends."""

    client: httpx2.AsyncClient
    last_id: str = ""
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    is_closed: bool = False

    async def connect(self) -> None:
        """One connection, until it ends; 204 closes for ever."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        async with self.client.stream("GET", "/events", headers=headers) as answer:
            if answer.status_code == 204:
                self.is_closed = True
                return
            assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
            await self._read(answer.aiter_lines())

    async def _read(self, lines: AsyncIterator[str]) -> None:
        data: list[str] = []
        async for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line and data:
                self.heard.append((self.last_id, json.loads("\n".join(data))))
                data = []
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = value
            else:
                assert name == "", "no other field, so that onmessage hears it"


def an_app(store: FakeStore) -> FastAPI:
    app = FastAPI()
    parts = cast(Parts, SimpleNamespace(store=store))

    def present() -> Row:
        row = store.rows.get("a")
        assert row is not None
        return row

    @app.get("/events")
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> Response:
        return answer_events(present(), last_event_id, parts)

    @app.get("/status")
    async def status() -> dict[str, Any]:
        row = await wait_for_news(present(), 300, parts)
        assert row is not None
        return {"state": row.state, "version": row.version}

    return app


@asynccontextmanager
async def served(store: FakeStore) -> AsyncIterator[tuple[Server, httpx2.AsyncClient]]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(an_app(store), log_config=None, timeout_graceful_shutdown=PATIENCE_SECONDS)
    server = Server(config, store.release)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
        try:
            yield server, client
        finally:
            server.should_exit = True
            await serving


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  # neither the server nor the fake tells
        await asyncio.sleep(0.002)


def play(store: FakeStore, story: Callable[[Server, httpx2.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), served(store) as (server, client):
            await story(server, client)

    asyncio.run(run())


def test_a_browser_hears_each_change_once_and_stops_after_the_final_one() -> None:
    store = FakeStore(a_row("a", 5))
    rows = [a_row("a", 5), a_row("a", 6, {"state": "Running"}), a_row("a", 7, DONE)]

    async def story(_: Server, client: httpx2.AsyncClient) -> None:
        source = EventSource(client)
        reading = asyncio.create_task(source.connect())
        for count, news in enumerate(rows[1:], 1):
            await until(lambda count=count: len(source.heard) == count and len(store.waiters) == 1)  # type: ignore[misc]
            store.tell(news)
        await reading
        expected = [(str(row.version), render_status(row, store.rows)) for row in rows[1:]]
        assert source.heard[1:] == [(n, shown.model_dump(mode="json", exclude_none=True)) for n, shown in expected]
        assert source.heard[0][1]["progress"] == 0
        await source.connect()
        assert source.is_closed
        assert len(source.heard) == 3

    play(store, story)


def test_nothing_is_left_when_the_client_goes() -> None:
    store = FakeStore(a_row("a", 5))

    async def story(_: Server, client: httpx2.AsyncClient) -> None:
        reading = asyncio.create_task(EventSource(client).connect())
        await until(lambda: len(store.waiters) == 1)
        reading.cancel()
        await until(lambda: len(store.waiters) == 0)

    play(store, story)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_long_poll_is_answered_by_a_change_and_by_the_end_of_the_server(is_told: bool) -> None:
    store = FakeStore(a_row("a", 5))

    async def story(server: Server, client: httpx2.AsyncClient) -> None:
        asking = asyncio.create_task(client.get("/status"))
        await until(lambda: len(store.waiters) == 1)
        if is_told:
            store.tell(a_row("a", 6, DONE))
        else:
            server.should_exit = True
        answer = await asking
        assert answer.status_code == 200
        assert answer.json()["version"] == (6 if is_told else 5)

    play(store, story)


def test_open_streams_end_when_the_server_does() -> None:
    store = FakeStore(a_row("a", 5))

    async def story(server: Server, client: httpx2.AsyncClient) -> None:
        sources = [EventSource(client) for _ in range(20)]
        reading = [asyncio.create_task(source.connect()) for source in sources]
        await until(lambda: len(store.waiters) == len(sources))
        server.should_exit = True
        await asyncio.gather(*reading)
        assert all(len(source.heard) == 1 for source in sources)

    play(store, story)
