"""Places for work that takes much of something; no caller holds more than half of them.

Built by wiring, taken by openai.audio.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class NoSeatError(Exception):
    """None has become free in time."""


class Seats:
    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._share = max(1, count // 2)
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, name: str, seconds: float) -> AsyncIterator[None]:
        """One seat until the end of the block; NoSeatError when none is free within these seconds."""
        own = self._own.get(name) or self._own.setdefault(name, asyncio.Semaphore(self._share))
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._free)
            except TimeoutError as error:
                raise NoSeatError from error
            yield
