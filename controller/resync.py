"""The first look at all live transcriptions, and one now and then: heals what no event came for. Run by the loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from controller.cache import Cache, is_waiting
from controller.decision import Policy
from controller.errors import ControllerError
from controller.queue import KeyQueue
from controller.retention import is_expired

if TYPE_CHECKING:
    from controller.cluster import Cluster

PAUSE_SECONDS = 2

logger = logging.getLogger(__name__)


class Resync:
    """Lists into the cache and puts every key on the queue."""

    def __init__(
        self,
        cluster: "Cluster",
        cache: Cache,
        queue: KeyQueue,
        policy: Policy,
        interval_seconds: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._policy = policy
        self._interval_seconds = interval_seconds
        self._clock = clock

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
        """Take what is live, forget what is not. Jobs first: a transcription without its Job would be looked up."""
        await self._relist_jobs()
        versions = self._cache.job_versions()  # a Job that changes during the list may have pods that are not in it
        self._cache.keep_pods(versions, await self._cluster.list_pods_by_job())
        before = self._cache.known()
        async for transcription in self._cluster.list_live():
            before.discard((transcription.name, transcription.uid))
            self._cache.put(transcription)
            self._queue.add(transcription.name, urgent=is_waiting(transcription))
        for name, uid in before:
            self._cache.drop(name, uid)
            self._queue.add(name)
        logger.info("resynced", extra={"live": len(self._cache), "gone": len(before)})

    async def _relist_jobs(self) -> None:
        before = self._cache.known_jobs()
        async for job in self._cluster.list_jobs():
            before.discard((job.name, job.uid))
            if self._cache.put_job(job) and job.owner_name and not job.ended:
                self._queue.add(job.owner_name)
        for name, uid in before:
            self._cache.drop_job(name, uid)

    async def find_asked(self) -> None:
        """Take settled ones that were asked for more where nobody took the label off, and those whose time is over."""
        async for transcription in self._cluster.list_settled(self._is_wanted):
            self._cache.put(transcription)
            self._queue.add(transcription.name)

    def _is_wanted(self, manifest: Mapping[str, Any]) -> bool:
        return _is_behind(manifest) or is_expired(manifest, self._policy, self._clock())

    async def _try(self, look: Callable[[], Awaitable[None]]) -> bool:
        try:
            await look()
        except ControllerError as error:
            logger.warning("resync failed", extra={"error": str(error)})
            return False
        return True


def _is_behind(manifest: Mapping[str, Any]) -> bool:
    status = manifest.get("status") or {}
    return int(status.get("observedGeneration") or 0) < int(manifest["metadata"].get("generation") or 1)
