"""Our shorter way says to browsers what Starlette's own says."""

import asyncio
from typing import Any

import pytest
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import EXPOSED_HEADERS, Cors
from api.heads import heads_of

ORIGIN = (b"origin", b"https://front.example")
ASKING = (b"access-control-request-method", b"POST")
HEADS = [[], [ORIGIN], [(b"origin", b"https://other.example")], [ORIGIN, ASKING], [ASKING], [(b"origin", b"")]]


async def _answer(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 202, "headers": [(b"location", b"/a"), (b"etag", b"1")]})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(layer: ASGIApp, method: str, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(layer({"type": "http", "method": method, "path": "/", "headers": headers}, receive, send))
    return sent


@pytest.mark.parametrize("origins", [["*"], ["https://front.example"], []])
@pytest.mark.parametrize("headers", HEADS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_answer_is_the_one_that_starlette_gives(origins: list[str], headers: Any, method: str) -> None:
    theirs = CORSMiddleware(
        _answer,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )
    assert ask(Cors(_answer, origins), method, headers) == ask(theirs, method, headers)


def test_of_several_headers_with_one_name_the_first_counts() -> None:
    scope = {"type": "http", "headers": [(b"a", b"1"), (b"b", b"\xe9"), (b"a", b"2")]}
    assert heads_of(scope) == {"a": "1", "b": "é"}
    assert heads_of(scope) is heads_of(scope)
