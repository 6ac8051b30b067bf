"""One ffmpeg that decodes one part of a file, locked in. Run by `parallel`."""

import os
import re
import selectors
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from subprocess import PIPE, Popen
from time import monotonic
from typing import IO, NoReturn, Self, cast

from worker.cpu import pin
from worker.media import FFMPEG, FIRST_TRACK, TO_SAMPLES, read_only_as
from worker.sandbox import STDERR_BYTES, STRICT, Limits, Sandbox
from worker.sound import SAMPLE_BYTES
from worker.split import Part

SEAM_BYTES = 4096 * SAMPLE_BYTES
SLACK_BYTES = 32 * SAMPLE_BYTES
CHUNK_BYTES = 1 << 16
PREROLL_COMPLAINTS = "backstep|overread"
"""What ffmpeg says of the first frames of a part, which lean on frames that it was not given."""

Chunks = Iterator[bytes]


class PartError(Exception):
    """The parts do not make up the whole."""


@dataclass(frozen=True)
class Job:
    """A file to decode in parts, and what each ffmpeg may take. What waits for its turn lies in the scratch folder."""

    path: Path
    parts: Sequence[Part]
    limits: Limits
    scratch: Path
    sandbox: Sandbox = STRICT


class PartRun:
    """It is killed when it has written enough, or when nobody wants more."""

    def __init__(self, job: Job, part: Part, cpu: int | None = None) -> None:
        self._limits = job.limits
        self._is_first, self._is_last = part is job.parts[0], part is job.parts[-1]
        self._dropped_bytes = part.dropped_samples * SAMPLE_BYTES
        self._complaints = bytearray()
        self.own_bytes = part.samples * SAMPLE_BYTES + (SLACK_BYTES if self._is_last else 0)
        command = job.sandbox.wrap(_build_command(part), job.limits)
        with job.path.open("rb", buffering=0) as file:
            file.seek(part.offset)
            self._process = Popen(command, stdin=file, stdout=PIPE, stderr=PIPE, env={}, start_new_session=True)
        if cpu is not None:
            pin(self._process.pid, cpu)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.__exit__(None, None, None)

    def kill(self) -> None:
        """No harm when it has ended."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # its own thread may have waited for it meanwhile
                os.killpg(self._process.pid, SIGKILL)

    def read(self) -> Chunks:
        """Its own samples, and those that prove the seam to the next part."""
        dropped, left = self._dropped_bytes, self.own_bytes + (0 if self._is_last else SEAM_BYTES)
        for chunk in self._read_all():
            kept = chunk[dropped:][:left]
            dropped -= min(dropped, len(chunk))
            left -= len(kept)
            if kept:
                yield kept
            if not left:
                break
        self._end(left)

    def find_complaints(self) -> str:
        """What ffmpeg said of the frames that count."""
        lines = self._complaints.decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if self._is_first or not re.search(PREROLL_COMPLAINTS, line))

    def _end(self, left: int) -> None:
        if not self._is_last:
            self.kill()
            if left:
                fail("a part is short")
        elif not 0 < left <= 2 * SLACK_BYTES:
            fail("the last part is of another length")
        elif self._process.wait(self._limits.silent_seconds):
            fail(f"the last part ended with {self._process.returncode}")

    def _read_all(self) -> Chunks:
        """What it writes; the time that it may take is the time that somebody waits for it."""
        left = self._limits.seconds
        with selectors.DefaultSelector() as selector:
            for stream in (self._process.stdout, self._process.stderr):
                selector.register(cast(IO[bytes], stream), selectors.EVENT_READ)
            while selector.get_map():
                began = monotonic()
                ready = selector.select(min(left, self._limits.silent_seconds))
                left = max(0.0, left - (monotonic() - began))
                if not ready:
                    fail("a part took too long")
                for key, _ in ready:
                    yield from self._read_once(selector, cast(IO[bytes], key.fileobj))

    def _read_once(self, selector: selectors.BaseSelector, stream: IO[bytes]) -> Chunks:
        chunk = os.read(stream.fileno(), CHUNK_BYTES)
        if not chunk:
            selector.unregister(stream)
        elif stream is self._process.stdout:
            yield chunk
        else:
            self._complaints += chunk
            del self._complaints[:-STDERR_BYTES]


def fail(reason: str) -> NoReturn:
    """A PartError."""
    raise PartError(reason)


def _build_command(part: Part) -> list[str]:
    return [
        *(*FFMPEG, *read_only_as(part.demuxer, "pipe")),
        *(*part.options, "-i", "pipe:0", *FIRST_TRACK, "-af", part.filters, *TO_SAMPLES),
    ]
