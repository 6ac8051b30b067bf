"""Runs the parts that `split` found at once and gives their samples in order. Called by whoever decodes.

A part must begin with the very samples that the one before it would go on with. When it does not, or when anything
fails, one run over the whole file has the word, and its error is the one that is told.
"""

import logging
import os
import selectors
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from subprocess import PIPE, Popen
from time import monotonic
from typing import IO, cast

from worker.errors import SandboxUnavailableError
from worker.media import ONE_THREAD, read_only_as
from worker.sandbox import STDERR_BYTES, STRICT, Limits, Sandbox
from worker.sandbox_child import EXIT_UNAVAILABLE
from worker.split import SAMPLE_RATE, Part

SAMPLE_BYTES = 2
SEAM_BYTES = 4096 * SAMPLE_BYTES
SLACK_BYTES = SAMPLE_RATE * SAMPLE_BYTES
CHUNK_BYTES = 1 << 16
PREROLL_COMPLAINTS = ("backstep", "overread")
"""What ffmpeg says of the first frames of a part, which lean on frames that it was not given."""

Chunks = Iterator[bytes]

logger = logging.getLogger(__name__)


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


def decode_parts(job: Job, decode_whole: Callable[[], Iterable[bytes]]) -> Chunks:
    """The samples of the file, the first at once; one run over the whole goes on where parts failed."""
    given = 0
    try:
        for chunk in _decode(job):
            given += len(chunk)
            yield chunk
    except PartError as error:
        logger.warning("the file is decoded as one", extra={"error": str(error), "given_bytes": given})
    else:
        return
    yield from _skip(decode_whole(), given)


def _decode(job: Job) -> Chunks:
    with ExitStack() as stack:
        runs = [stack.enter_context(_Run(job, part)) for part in job.parts]
        spools = [stack.enter_context(_Spool(run, job.scratch)) for run in runs[1:]]
        seam = b""
        for run, chunks in zip(runs, [runs[0].read(), *map(_Spool.read, spools)], strict=True):
            seam = yield from _give(run, _prove(chunks, seam))


def _give(run: "_Run", chunks: Chunks) -> Generator[bytes, None, bytes]:
    """The samples that a part has of its own; returned are those that the next one must begin with."""
    left, seam = run.own_bytes, bytearray()
    for chunk in chunks:
        if left:
            yield chunk[:left]
        seam += chunk[left:]
        left -= min(left, len(chunk))
    run.check(seam)
    return bytes(seam)


def _prove(chunks: Chunks, seam: bytes) -> Chunks:
    """The same, if they begin so."""
    head = bytearray()
    while len(head) < max(1, len(seam)):
        head += next(chunks, None) or _fail("a part has no samples")
    if not head.startswith(seam):
        _fail("a part begins with other samples than the one before it went on with")
    yield bytes(head)
    yield from chunks


def _skip(chunks: Iterable[bytes], size: int) -> Chunks:
    for chunk in chunks:
        rest = chunk[size:]
        size -= len(chunk) - len(rest)
        if rest:
            yield bytes(rest)


def _fail(reason: str) -> NoReturn:
    raise PartError(reason)


class _Run:
    """One ffmpeg that decodes one part; it is killed when it has written enough, or when nobody wants more."""

    def __init__(self, job: Job, part: Part) -> None:
        self._limits, self._is_first, self._is_last = job.limits, part is job.parts[0], part is job.parts[-1]
        self.own_bytes = part.samples * SAMPLE_BYTES + (SLACK_BYTES if self._is_last else 0)
        self._dropped_bytes = part.dropped_samples * SAMPLE_BYTES
        self._complaints = bytearray()
        command = job.sandbox.wrap(_build_command(part), job.limits)
        with job.path.open("rb", buffering=0) as file:
            file.seek(part.offset)
            self._process = Popen(command, stdin=file, stdout=PIPE, stderr=PIPE, env={}, start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.__exit__(None, None, None)

    def kill(self) -> None:
        """No harm when it has ended."""
        if self._process.poll() is None:
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
        if self._is_last:
            self._check_end(left)
        elif left:
            _fail("a part is short")

    def check(self, seam: bytes) -> None:
        """Where equal samples prove nothing, since all are the same, or a frame may be lost, nothing may have been said."""
        lines = self._complaints.decode(errors="replace").splitlines()
        complaints = [line for line in lines if self._is_first or not re.search(PREROLL_COMPLAINTS, line)]
        if complaints and not self._is_last:
            _fail("\n".join(complaints))
        if complaints:
            logger.warning("ffmpeg complained", extra={"stderr": "\n".join(complaints)})

    def _check_end(self, left: int) -> None:
        if not left or left > 2 * SLACK_BYTES:
            _fail("the last part is of another length")
        code = self._process.wait(self._limits.silent_seconds)
        if code == EXIT_UNAVAILABLE:
            raise SandboxUnavailableError(self._complaints.decode(errors="replace"))
        if code:
            _fail(f"the last part ended with {code}")

    def _read_all(self) -> Chunks:
        """What it writes; the time that it may take is the time that somebody waits for it."""
        with selectors.DefaultSelector() as selector:
            for stream in (self._process.stdout, self._process.stderr):
                selector.register(cast(IO[bytes], stream), selectors.EVENT_READ)
            left = self._limits.seconds
            while selector.get_map():
                began = monotonic()
                ready = selector.select(min(left, self._limits.silent_seconds))
                left = max(0.0, left - (monotonic() - began))
                if not ready:
                    _fail("a part took too long")
                yield from self._read_ready(selector, ready)
