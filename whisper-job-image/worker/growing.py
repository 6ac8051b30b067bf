"""A file on the scratch volume that is read while it is still written. `stream` keeps media in one, samples in another.

What is written goes to the disk and not into memory. Readers wait until what they want is there, or until it is
certain that it never will be: then they hear why.
"""

import os
from pathlib import Path
from threading import Condition

from worker.errors import InternalError, TooLongError


class Growing:
    """Any number of threads write and read; `size` counts what is there from the start on, without a gap."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self.is_whole = False
        self.expected_size: int | None = None
        """Set by who writes it, when known, before the first byte."""
        self._max_bytes = max_bytes
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._ahead: dict[int, int] = {}
        self._error: Exception | None = None
        self._changed = Condition()

    def append(self, content: bytes | bytearray | memoryview) -> None:
        """Write behind what is there; for one writer alone."""
        self.put(self.size, content)

    def put(self, at: int, content: bytes | bytearray | memoryview) -> None:
        """Write in any order, each place once. The file's error is raised here, too, so that its writers end."""
        if at + len(content) > self._max_bytes:
            raise TooLongError(f"more than {self._max_bytes} bytes")
        with self._changed:
            self.check()
            rest, begin = memoryview(content), at
            while rest:
                done = os.pwrite(self._file, rest, begin)
                rest, begin = rest[done:], begin + done
            self._ahead[at] = begin
            while self.size in self._ahead:
                self.size = self._ahead.pop(self.size)
            self._changed.notify_all()

    def finish(self) -> None:
        """Nothing follows."""
        with self._changed:
            self.is_whole = True
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """From here on all readers hear this, unless the file is whole. The first error counts."""
        with self._changed:
            if not self.is_whole:
                self._error = self._error or error
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what the file has failed with, if it has."""
        if self._error is not None:
            raise self._error

    def read(self, at: int, size: int) -> bytes:
        """So many bytes, as soon as they are there; fewer at the end of the file."""
        self.reach(at + size)
        return self._read(at, size)

    def read_some(self, at: int, most: int) -> bytes:
        """At most so many bytes, as soon as there are any; none at the end of the file."""
        self.reach(at + 1)
        return self._read(at, most)

    def _read(self, at: int, size: int) -> bytes:
        with self._changed:
            self.check()
            # never beyond the gap that a writer may have left
            return os.pread(self._file, max(0, min(size, self.size - at)), at)

    def reach(self, size: int) -> int:
        """Wait until the file has so many bytes or is whole; how many there are then."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self.is_whole or self.size >= size)
        self.check()
        return self.size

    def wait(self) -> int:
        """Wait until the file is whole; its size."""
        self.is_whole_within(None)
        return self.size

    def is_whole_within(self, seconds: float | None) -> bool:
        """Whether it is whole, now or after waiting so long; None waits until it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self.is_whole, seconds)
        self.check()
        return self.is_whole

    def close(self) -> None:
        """Give the disk back. Who still reads or writes hears an error; again changes nothing."""
        with self._changed:
            if self._file >= 0:
                os.close(self._file)
                self.path.unlink(missing_ok=True)
            self._file = -1
            self._error = self._error or InternalError("the file is closed")
            self._changed.notify_all()
