"""The media file out of S3, several ranges at a time, into a file that is read meanwhile. Called by `stream`.

A connection that breaks is taken up again where it broke, as long as the file is still the one that was pinned.
"""

import logging
import time
from collections.abc import Callable, Iterator
from threading import Lock, Thread
from typing import NamedTuple, Protocol

from crds.transcriptionjob import Source
from worker.errors import EmptyInputError, StorageUnavailableError, TooLongError, WorkerError
from worker.growing import Growing
from worker.publish import Range

PART_BYTES = 8 << 20
CONNECTIONS = 4
PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""Between tries that bring nothing, each of which is four of boto3's own."""

logger = logging.getLogger(__name__)


class Fetching(Protocol):
    """The door to S3."""

    def open_range(self, source: Source, start: int, end: int) -> Range: ...


class _Part(NamedTuple):
    start: int
    end: int


class Fetch:
    """One file on its way."""

    def __init__(
        self, store: Fetching, source: Source, media: Growing, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._store, self._source, self._media = store, source, media
        self._pause = pause
        self._one_at_a_time = Lock()
        self._parts: Iterator[_Part] = iter(())

    def run(self, max_bytes: int) -> None:
        """Fetch it all. A WorkerError says why it cannot be had; the file hears it, too."""
        try:
            self._run(max_bytes)
        except WorkerError as error:
            self._media.fail(error)
            raise

    def _run(self, max_bytes: int) -> None:
        first = self._store.open_range(self._source, 0, PART_BYTES)
        check_size(first.total_bytes, max_bytes)
        self._media.expected_size = first.total_bytes
        if self._source.etag is None:  # from here on it is that version or none
            self._source = self._source.model_copy(update={"etag": first.etag})
        starts = range(first.size_bytes, first.total_bytes, PART_BYTES)
        self._parts = iter([_Part(start, min(start + PART_BYTES, first.total_bytes)) for start in starts])
        others = [Thread(target=self._help, daemon=True) for _ in range(min(CONNECTIONS - 1, len(starts)))]
        for thread in others:
            thread.start()
        self._fetch(_Part(0, first.size_bytes), first)
        self._fetch_rest()
        for thread in others:
            thread.join()
        self._media.check()
        self._media.finish()

    def _help(self) -> None:
        try:
            self._fetch_rest()
        except WorkerError as error:
            self._media.fail(error)

    def _fetch_rest(self) -> None:
        while part := self._take():
            self._fetch(part)

    def _take(self) -> _Part | None:
        with self._one_at_a_time:
            return next(self._parts, None)

    def _fetch(self, part: _Part, opened: Range | None = None) -> None:
        at, pauses = part.start, iter(PAUSES_SECONDS)
        while at < part.end:
            try:
                for chunk in (opened or self._open(_Part(at, part.end))).chunks:
                    self._media.put(at, chunk)
                    at, pauses = at + len(chunk), iter(PAUSES_SECONDS)
                self._check_end(part, at)
            except StorageUnavailableError as error:
                self._wait(next(pauses, None), at, error)
            opened = None

    def _open(self, part: _Part) -> Range:
        found = self._store.open_range(self._source, part.start, part.end)
        if found.start != part.start:
            raise StorageUnavailableError("the server knows ranges no more")
        return found

    def _check_end(self, part: _Part, at: int) -> None:
        if at != part.end:
            raise StorageUnavailableError(f"{part.end - at} bytes are missing")

    def _wait(self, seconds: float | None, at: int, error: StorageUnavailableError) -> None:
        self._media.check()  # it may be this file that has failed, and not the server
        if seconds is None:
            raise error
        logger.warning("file goes on", extra={"at": at, "error": str(error), "retry_in_seconds": seconds})
        self._pause(seconds)


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Refuse what is empty or too large."""
    if size_bytes == 0:
        raise EmptyInputError("0 bytes")
    if size_bytes > max_bytes:
        raise TooLongError(
            f"{size_bytes} bytes",
            f"The file has {size_bytes} bytes, {max_bytes} are allowed: cut it into parts and send a request for each.",
        )
