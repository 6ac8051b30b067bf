"""How large and how slow an upload may be."""

import asyncio

import pytest
from starlette.types import Message

from api.errors import ProblemError
from api.pace import Pace, cap


async def _body(*chunks: bytes, pause: float = 0) -> None:
    pending = list(chunks)

    async def receive() -> Message:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": pending.pop(0), "more_body": bool(pending)}

    capped = cap(receive, 10, Pace(idle_seconds=0.01, bytes_per_second=1e9))
    while (await capped())["more_body"]:
        pass


def test_body_passes_when_it_is_as_large_as_the_cap() -> None:
    asyncio.run(_body(b"01234", b"56789"))


@pytest.mark.parametrize(("chunks", "pause", "status"), [((b"01234", b"567890"), 0, 413), ((b"0", b"1"), 1, 408)])
def test_body_is_refused_when_too_large_or_too_slow(chunks: tuple[bytes, ...], pause: float, status: int) -> None:
    with pytest.raises(ProblemError) as refused:
        asyncio.run(_body(*chunks, pause=pause))
    assert refused.value.status_code == status
