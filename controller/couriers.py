"""Carry callbacks beside the queue, so that a receiver that hangs holds up nothing. Owned by the loop."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from controller.delivery import Report
from controller.errors import ControllerError
from controller.metrics import Metrics
from controller.outbox import Outbox
from controller.queue import KeyQueue
from crds.transcriptionjob import Transcription

SEATS = 32
SEATS_OF_A_RECEIVER = 4
PAUSE = timedelta(seconds=30)

logger = logging.getLogger(__name__)


class Couriers:
    """One courier a transcription at most, few at a time for each receiver: who hangs delays those of no other.

    What became of a try waits here until it is in the status.
    """

    def __init__(
        self, outbox: Outbox, queue: KeyQueue, metrics: Metrics, clock: Callable[[], datetime], seats: int = SEATS
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._seats = seats
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[Transcription]] = {}
        self._known: set[str] = set()
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
        if name in self._known or name in self._reports:
            return
        self._known.add(name)
        receiver = find_receiver(self._outbox.find_url(transcription))
        self._waiting.setdefault(receiver, deque()).append(transcription)
        self._fill_seats()

    async def dismiss(self) -> None:
        """Stop every try that is under way; it is made again after a restart."""
        self._waiting.clear()
        couriers = list(self._under_way.values())
        for courier in couriers:
            courier.cancel()
        await asyncio.gather(*couriers, return_exceptions=True)

    def _fill_seats(self) -> None:
        """The receiver with the fewest couriers is served first; one that has all of its own waits for them."""
        while len(self._under_way) < self._seats and self._waiting:
            receiver = min(self._waiting, key=lambda r: self._busy[r])
            if self._busy[receiver] >= SEATS_OF_A_RECEIVER:
                return
            self._start(receiver, self._waiting[receiver].popleft())
            if not self._waiting[receiver]:
                del self._waiting[receiver]

    def _start(self, receiver: str, transcription: Transcription) -> None:
        self._busy[receiver] += 1
        task = asyncio.create_task(self._carry(transcription), name=f"callback of {transcription.name}")
        self._under_way[transcription.name] = task
        task.add_done_callback(lambda done: self._come_back(receiver, transcription, done))

    async def _carry(self, transcription: Transcription) -> None:
        report = await self._outbox.send(transcription)
        self._reports[transcription.name] = report
        self._metrics.deliveries.labels(str(report.status_code or 0)).inc()
        fields = {"status_code": report.status_code, "callback": report.callback_id}
        logger.info("callback tried", extra={"transcription": transcription.path, **fields})

    def _come_back(self, receiver: str, transcription: Transcription, task: asyncio.Task[None]) -> None:
        del self._under_way[transcription.name]
        self._known.discard(transcription.name)
        self._busy[receiver] -= 1
        if not self._busy[receiver]:
            del self._busy[receiver]
        if task.cancelled():
            return
        self._fill_seats()
        error = task.exception()
        if error is None:
            self._queue.add(transcription.name)
            return
        self._queue.wake_at(transcription.name, self._clock() + PAUSE)
        trace = None if isinstance(error, ControllerError) else error
        logger.warning(
            "callback not tried", extra={"transcription": transcription.path, "error": str(error)}, exc_info=trace
        )


def find_receiver(url: str) -> str:
    """Who is called: host and port, as they are written. Other spellings of a host count as another receiver."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:  # an address in brackets that is none: the try will say so
        return url
