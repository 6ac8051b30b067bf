"""Runs a program that reads a hostile file, locked in. Called by `media`.

It reads what it is given, files or a pipe, and the libraries of the system, and writes to two pipes. It has no network,
no further process, and an end of time, output, memory and computing (docs/decisions/0013-a-sandbox-for-ffmpeg.md).
"""

import os
import resource
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from threading import Thread
from typing import IO, NamedTuple, Protocol, cast

from worker.errors import InternalError, SandboxUnavailableError, WorkerError
from worker.sandbox_child import EXIT_UNAVAILABLE, Cell

STDERR_BYTES = 4096
FEED_BYTES = 1 << 16
KILLED = -signal.SIGKILL
ROOT = str(Path(__file__).parents[1])
START = "import sys; sys.path.append(sys.argv[1]); from worker.sandbox_child import main; main(sys.argv[2:])"


@dataclass(frozen=True)
class Limits:
    """Where a program's patience, output and memory end. Silence is how long it may write nothing."""

    output_bytes: int
    seconds: float
    cpu_seconds: int
    silent_seconds: float = 60.0
    memory_bytes: int = 1 << 30


class Coming(Protocol):
    """A file that may still grow; see `Growing`."""

    @property
    def size(self) -> int: ...
    @property
    def is_whole(self) -> bool: ...
    def read_some(self, at: int, most: int) -> bytes: ...


@dataclass(frozen=True)
class Pipes:
    """Where standard input comes from, if there is any, and who gets the output, which is else kept."""

    source: Coming | None = None
    sink: Callable[[bytes], None] | None = None


NO_PIPES = Pipes()


class Output(NamedTuple):
    """What a program left. It is cut when it wrote too much, late when its time was up; then it was killed."""

    code: int
    stdout: bytearray
    stderr: str
    size_bytes: int = 0
    is_cut: bool = False
    is_late: bool = False
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Sandbox:
    """How programs are run on this node. If it is not strict, a kernel without Landlock will do."""

    is_strict: bool = True

    def run(
        self, command: Sequence[str], limits: Limits, readable: Sequence[Path] = (), pipes: Pipes = NO_PIPES
    ) -> Output:
        """Run a command that may read these files; SandboxUnavailableError when it cannot be locked in."""
        output = _run_capped(self.wrap(command, limits, readable), limits, pipes)
        if output.code == EXIT_UNAVAILABLE:
            raise SandboxUnavailableError(output.stderr)
        return output

    def wrap(self, command: Sequence[str], limits: Limits, readable: Sequence[Path] = ()) -> list[str]:
        """The command that locks itself in and becomes this one; what it is given to read may also come by a pipe."""
        program = shutil.which(command[0], path=os.defpath)
        if program is None:
            raise InternalError(f"there is no {command[0]}")
        files = tuple(str(path.absolute()) for path in readable)
        cell = Cell(self.is_strict, limits.memory_bytes, limits.cpu_seconds, files, (program, *command[1:]))
        return [sys.executable, "-I", "-S", "-c", START, ROOT, *cell.to_arguments()]


STRICT = Sandbox()


def _run_capped(command: Sequence[str], limits: Limits, pipes: Pipes) -> Output:
    stdout, stderr, size, is_late = bytearray(), bytearray(), 0, False
    sink = pipes.sink or stdout.extend
    spent = _cpu_seconds_of_children()
    stdin = DEVNULL if pipes.source is None else PIPE
    with Popen(command, stdin=stdin, stdout=PIPE, stderr=PIPE, env={}, start_new_session=True) as process:
        watch = _Stopwatch(_feed(process, pipes.source))
        try:
            for stream, chunk in _read_both(process, watch, limits):
                if stream is process.stderr:
                    stderr.extend(chunk)
                    del stderr[:-STDERR_BYTES]
                    continue
                size += len(chunk)
                sink(chunk)
                if size > limits.output_bytes:
                    break
            else:
                process.wait(max(0.0, limits.seconds - watch.seconds))
        except (TimeoutError, TimeoutExpired):
            is_late = True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return Output(
        code,
        stdout,
        stderr.decode(errors="replace").strip(),
        size,
        is_cut=size > limits.output_bytes,
        is_late=is_late,
        cpu_seconds=_cpu_seconds_of_children() - spent,
    )


class _Feeder:
    """Writes a file that is still growing into a program's pipe."""

    def __init__(self, source: Coming, descriptor: int) -> None:
        self._source, self._descriptor = source, descriptor
        self._waited, self._waits_since = 0.0, inf

    @property
    def waited_seconds(self) -> float:
        """How long there was nothing that the program could have read."""
        return self._waited + max(0.0, time.monotonic() - self._waits_since)

    def run(self) -> None:
        """Until the file or the program ends. What the file has failed with is told by the file itself."""
        at = 0
        with suppress(BrokenPipeError, WorkerError), os.fdopen(self._descriptor, "wb", buffering=0) as pipe:
            while chunk := self._take(at):
                at += pipe.write(chunk)

    def _take(self, at: int) -> bytes:
        if self._source.size > at or self._source.is_whole:
            return self._source.read_some(at, FEED_BYTES)
        self._waits_since = time.monotonic()
        chunk = self._source.read_some(at, FEED_BYTES)
        self._waited, self._waits_since = self._waited + time.monotonic() - self._waits_since, inf
        return chunk


def _feed(process: Popen[bytes], source: Coming | None) -> _Feeder | None:
    if source is None or process.stdin is None:
        return None
    # of its own, so that it can end later than the program: it may be waiting for the file
    feeder = _Feeder(source, os.dup(process.stdin.fileno()))
    process.stdin.close()
    Thread(target=feeder.run, daemon=True).start()
    return feeder


class _Stopwatch:
    """Stands still while a program waits for what it is to read."""

    def __init__(self, feeder: _Feeder | None) -> None:
        self._began_at, self._feeder = time.monotonic(), feeder

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_at - (self._feeder.waited_seconds if self._feeder else 0.0)


def _cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read_both(process: Popen[bytes], watch: _Stopwatch, limits: Limits) -> Iterator[tuple[IO[bytes], bytes]]:
    spoke_at = 0.0
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(cast(IO[bytes], stream), selectors.EVENT_READ)
        while selector.get_map():
            left = min(limits.seconds, spoke_at + limits.silent_seconds) - watch.seconds
            ready = selector.select(max(0.0, left))
            if not ready and left <= 0:
                raise TimeoutError
            for key, _ in ready:
                spoke_at = watch.seconds
                stream = cast(IO[bytes], key.fileobj)
                chunk = os.read(stream.fileno(), 1 << 16)
                if not chunk:
                    selector.unregister(stream)
                yield stream, chunk
