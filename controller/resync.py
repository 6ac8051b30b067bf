"""The first look at all live transcriptions, and one now and then: heals what no event came for. Run by the loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from controller.cache import Cache
from controller.errors import ControllerError
from controller.queue import KeyQueue

if TYPE_CHECKING:
    from controller.cluster import Cluster

PAUSE_SECONDS = 2

logger = logging.getLogger(__name__)


class Resync:
    """Lists into the cache and puts every key on the queue."""

    def __init__(self, cluster: "Cluster", cache: Cache, queue: KeyQueue, interval_seconds: float) -> None:
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._interval_seconds = interval_seconds

    async def take_first_look(self) -> None:
        """Fill the cache with all that is live; come back when that is done."""
        while True:
            if await self._try(self.relist):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def run(self) -> None:
        """Look again and again, for ever."""
        await self._try(self.find_asked)
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._try(self.relist)
            await self._try(self.find_asked)

    async def relist(self) -> None:
        """Take what is live, forget what is not."""
        before = self._cache.known()
        self._cache.forget_jobs()
        async for transcription in self._cluster.list_live():
            before.discard((transcription.name, transcription.uid))
            self._cache.put(transcription)
            self._queue.add(transcription.name)
        for name, uid in before:
            self._cache.drop(name, uid)
            self._queue.add(name)
        logger.info("resynced", extra={"live": len(self._cache), "gone": len(before)})

    async def find_asked(self) -> None:
        """Take settled ones that were asked for more, where nobody took the label off."""
        async for transcription in self._cluster.list_asked():
            self._cache.put(transcription)
            self._queue.add(transcription.name)

    async def _try(self, look: Callable[[], Awaitable[None]]) -> bool:
        try:
            await look()
        except ControllerError as error:
            logger.warning("resync failed", extra={"error": str(error)})
            return False
        return True
