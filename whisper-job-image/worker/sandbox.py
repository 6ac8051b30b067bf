"""Runs a program that reads a hostile file, locked in. Called by `media`.

It reads the files that it is given and the libraries of the system, and writes to two pipes. It has no network, no
further process, and an end of time, output, memory and computing (docs/decisions/0013-a-sandbox-for-ffmpeg.md).
"""

import os
import resource
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import IO, NamedTuple, cast

from worker.errors import InternalError, SandboxUnavailableError
from worker.sandbox_child import EXIT_UNAVAILABLE, Cell

STDERR_BYTES = 4096
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


class Output(NamedTuple):
    """What a program left. It is cut when it wrote too much, late when its time was up; then it was killed."""

    code: int
    stdout: bytearray
    stderr: str
    is_cut: bool = False
    is_late: bool = False
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Sandbox:
    """How programs are run on this node. If it is not strict, a kernel without Landlock will do."""

    is_strict: bool = True

    def run(self, command: Sequence[str], limits: Limits, readable: Sequence[Path] = ()) -> Output:
        """Run a command that may read these files; SandboxUnavailableError when it cannot be locked in."""
        output = _run_capped(self.wrap(command, limits, readable), limits)
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


def _run_capped(command: Sequence[str], limits: Limits) -> Output:
    stdout, stderr = bytearray(), bytearray()
    is_late = False
    spent = _cpu_seconds_of_children()
    with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env={}, start_new_session=True) as process:
        deadline = time.monotonic() + limits.seconds
        try:
            for stream, chunk in _read_both(process, deadline, limits.silent_seconds):
                (stdout if stream is process.stdout else stderr).extend(chunk)
                del stderr[:-STDERR_BYTES]
                if len(stdout) > limits.output_bytes:
                    break
            else:
                process.wait(max(0.0, deadline - time.monotonic()))
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
        is_cut=len(stdout) > limits.output_bytes,
        is_late=is_late,
        cpu_seconds=_cpu_seconds_of_children() - spent,
    )


def _cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read_both(process: Popen[bytes], deadline: float, silent_seconds: float) -> Iterator[tuple[IO[bytes], bytes]]:
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(cast(IO[bytes], stream), selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, min(deadline - time.monotonic(), silent_seconds)))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                stream = cast(IO[bytes], key.fileobj)
                chunk = os.read(stream.fileno(), 1 << 16)
                if not chunk:
                    selector.unregister(stream)
                yield stream, chunk
