"""Carry callbacks beside the queue, so that a receiver that hangs holds up nothing. Owned by the loop."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from controller.delivery import Report
from controller.errors import ControllerError
from controller.metrics import Metrics
from controller.outbox import Outbox
from controller.queue import KeyQueue
from crds.transcriptionjob import Transcription

SEATS = 4
PAUSE = timedelta(seconds=30)

logger = logging.getLogger(__name__)


class Couriers:
    """One courier a transcription at most; what became of a try waits here until it is in the status."""

    def __init__(
        self, outbox: Outbox, queue: KeyQueue, metrics: Metrics, clock: Callable[[], datetime], seats: int = SEATS
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._seats = asyncio.Semaphore(seats)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._reports: dict[str, Report] = {}

    def report_on(self, name: str) -> Report | None:
        """What became of the last try, if it is not in the status yet."""
        return self._reports.get(name)

    def forget(self, name: str) -> None:
        """The report is in the status, or the transcription is gone."""
        self._reports.pop(name, None)

    def send(self, transcription: Transcription) -> None:
        """Try its callback once; its key comes back on the queue afterwards."""
        name = transcription.name
        if name in self._under_way or name in self._reports:
            return
        task = asyncio.create_task(self._carry(transcription), name=f"callback of {name}")
        self._under_way[name] = task
        task.add_done_callback(lambda done: self._come_back(transcription, done))

    async def dismiss(self) -> None:
        """Stop every try that is under way; it is made again after a restart."""
        couriers = list(self._under_way.values())
        for courier in couriers:
            courier.cancel()
        await asyncio.gather(*couriers, return_exceptions=True)

    async def _carry(self, transcription: Transcription) -> None:
        async with self._seats:
            report = await self._outbox.send(transcription)
        self._reports[transcription.name] = report
        self._metrics.deliveries.labels(str(report.status_code or 0)).inc()
        fields = {"status_code": report.status_code, "callback": report.callback_id}
        logger.info("callback tried", extra={"transcription": transcription.path, **fields})

    def _come_back(self, transcription: Transcription, task: asyncio.Task[None]) -> None:
        del self._under_way[transcription.name]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._queue.add(transcription.name)
            return
        self._queue.wake_at(transcription.name, self._clock() + PAUSE)
        trace = None if isinstance(error, ControllerError) else error
        logger.warning(
            "callback not tried", extra={"transcription": transcription.path, "error": str(error)}, exc_info=trace
        )
