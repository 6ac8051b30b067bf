"""Posts Events beside the work: they may be late or lost, and let starts go first. Owned by the loop."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from controller.errors import ControllerError, TransientError
from controller.events import Notice, build_event, find_notices, find_recent_notices
from controller.queue import KeyQueue
from crds.transcriptionjob import Status, Transcription

if TYPE_CHECKING:
    from controller.cluster import Cluster

MOST_WAITING = 10_000
PAUSES_SECONDS = (1, 5, 15)
PATIENCE = timedelta(seconds=5)
"""So long an Event waits at most while transcriptions wait for their Jobs."""

logger = logging.getLogger(__name__)


class Herald:
    """Events in the order they came."""

    def __init__(self, cluster: "Cluster", queue: KeyQueue, instance: str, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._queue = queue
        self._instance = instance
        self._clock = clock
        self._told: dict[str, None] = {}
        self._last: dict[str, tuple[str, Status]] = {}
        self._waiting: asyncio.Queue[tuple[datetime, dict[str, Any]]] = asyncio.Queue(MOST_WAITING)

    def follow(self, transcription: Transcription) -> None:
        """Tell what has happened to it since the last look, whoever wrote it; at the first look, what is recent."""
        status, last = transcription.status, self._last.get(transcription.name)
        self._last[transcription.name] = (transcription.uid, status)
        if last is None or last[0] != transcription.uid:
            self.tell(transcription, find_recent_notices(status, self._clock()))
        elif last[1] is not status:
            self.tell(transcription, find_notices(last[1], status))

    def forget(self, name: str) -> None:
        """Nothing more will happen to it."""
        self._last.pop(name, None)

    def tell(self, transcription: Transcription, notices: Iterable[Notice]) -> None:
        """Post them soon."""
        for notice in notices:
            event = build_event(transcription, notice, self._instance, self._clock())
            if not self._is_news(event["metadata"]["name"]):
                continue
            try:
                self._waiting.put_nowait((self._clock(), event))
            except asyncio.QueueFull:
                logger.warning("event dropped", extra={"transcription": transcription.path, "reason": notice.reason})

    def _is_news(self, name: str) -> bool:
        """What was told lately is not told again; the API server would refuse it anyhow."""
        is_news = name not in self._told
        self._told[name] = None
        if len(self._told) > MOST_WAITING:
            del self._told[next(iter(self._told))]
        return is_news

    async def run(self) -> None:
        """Post one after the other, for ever."""
        while True:
            await self.post_one()

    async def post_one(self) -> None:
        """Wait for an Event and post it."""
        since, event = await self._waiting.get()
        await self._queue.wait_for_calm(since + PATIENCE - self._clock())
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                return await self._cluster.create_event(event)
            except TransientError as error:
                if pause_seconds is None:
                    logger.warning("event not posted", extra={"event": event["metadata"]["name"], "error": str(error)})
                    return None
            except ControllerError as error:
                logger.warning("event refused", extra={"event": event["metadata"]["name"], "error": str(error)})
                return None
            await asyncio.sleep(pause_seconds)
        return None

    async def empty(self) -> None:
        """Post what waits already, for tests."""
        while not self._waiting.empty():
            await self.post_one()
