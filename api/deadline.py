"""A bound on what may wait: a clock that is wound up when the waiting begins. Used by bodies and submit.

Most of what has a bound here is done without any waiting, and asyncio's timer would be a good part of its price.
"""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; TimeoutError when it waits for longer than that, and then it is cancelled."""
    try:
        awaited = work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _go_on(work, awaited)


@coroutine
def _go_on(work: Coroutine[Any, Any, T], awaited: object) -> Generator[Any, None, T]:
    """The rest of a coroutine that has begun and waits for something: what `await` does, from there on."""
    while True:
        error: BaseException | None = None
        try:
            yield awaited
        except BaseException as thrown:  # noqa: BLE001  # whatever it is, it is meant for the coroutine
            error = thrown
        try:
            awaited = work.send(None) if error is None else work.throw(error)
        except StopIteration as done:
            result: T = done.value
            return result
