"""Servers and lists in fresh processes, and requests per CPU-second of such a server. Used by the benches."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import httpx2

from tests.bench.harness import BenchError, Sample
from tests.support.waiting import wait_for

CONNECTIONS = 8
WARM_UP_REQUESTS = 300
CPU_SECONDS = 2.0
"""So much of the server's own time makes a sample."""

START_SECONDS = 60.0
CHILD_SECONDS = 300.0
TICKS = os.sysconf("SC_CLK_TCK")

PER_CPU_SECOND = "requests per CPU-second"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a server bench sends: each `request()` is a whole HTTP request, and each answer has this status."""

    request: Callable[[], bytes]
    status: int
    probe: bytes
    """One request whose answer is compared with the other sides'."""


@dataclass(frozen=True, slots=True)
class Program:
    """A side's own process. A server is ready when a GET of `ready` is answered 200."""

    module: str
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] | None = None
    ready: str = "/ready"

    def command(self, *more: str) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments, *more]

    def environment(self, port: int) -> dict[str, str]:
        """Of this process, so that KUBECONFIG is there; API_PORT is where every server listens."""
        return os.environ | dict(self.settings or {}) | {"API_PORT": str(port)}


def serve_and_ask(program: Program, exchange: Exchange) -> Sample:
    """Start a server, warm it up, and count what it answers in CPU_SECONDS of its own."""
    with serving(program) as (pid, port):
        return asyncio.run(_ask(pid, port, exchange))


@contextmanager
def serving(program: Program) -> Iterator[tuple[int, int]]:
    """A server that is ready: the id of its process, and its port."""
    port = _free_port()
    with _running(program, port) as process:
        _wait_until_ready(f"http://127.0.0.1:{port}{program.ready}", process)
        yield process.pid, port


def run_child(program: Program) -> Sample:
    """Run a program that prints {"figures": ..., "answer": ...}."""
    done = subprocess.run(program.command(), capture_output=True, text=True, timeout=CHILD_SECONDS, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(program.command()[2:])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Sample(**json.loads(done.stdout))


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: api\r\nAccept: */*\r\n\r\n".encode()


def post(path: str, document: object) -> bytes:
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: api\r\nAccept: */*\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  # read often; a Path costs more than the file
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def _running(program: Program, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Its log lines are written as in a pod, and thrown away by the kernel."""
    process = subprocess.Popen(
        program.command(), env=program.environment(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    seen = "nothing"

    def is_ready() -> bool:
        nonlocal seen
        if process.poll() is not None:
            raise BenchError(f"{process.args!r} ended with {process.returncode}")
        try:
            answer = httpx2.get(url, timeout=5)
        except httpx2.TransportError as error:
            seen = repr(error)
            return False
        seen = f"{answer.status_code} {answer.text[:500]}"
        return answer.status_code == HTTPStatus.OK

    try:
        wait_for(is_ready, START_SECONDS, "it is ready", every_seconds=0.1)
    except AssertionError as error:
        raise BenchError(f"{process.args!r} is not ready: {seen}") from error


class _Connection:
    """One kept-alive connection. It reads no more of HTTP than our servers write."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not length:
            raise BenchError(f"an answer without a length: {head!r}")
        return int(head[9:12]), await self._reader.readexactly(int(length))

    def close(self) -> None:
        self._writer.close()


async def _ask(pid: int, port: int, exchange: Exchange) -> Sample:
    connections = [await _Connection.open(port) for _ in range(CONNECTIONS)]
    status, body = await connections[0].ask(exchange.probe)
    if status != exchange.status:
        raise BenchError(f"{status} {body[:500]!r} instead of {exchange.status}")
    await _drive(connections, exchange, lambda answered: answered < WARM_UP_REQUESTS)
    begin = cpu_seconds(pid)
    answered = await _drive(connections, exchange, lambda _: cpu_seconds(pid) - begin < CPU_SECONDS)
    spent = cpu_seconds(pid) - begin
    for connection in connections:
        connection.close()
    return Sample({PER_CPU_SECOND: answered / spent}, json.loads(body))


async def _drive(connections: list[_Connection], exchange: Exchange, goes_on: Callable[[int], bool]) -> int:
    """Ask on all connections at once, as long as it goes on; how many answers came."""
    answered = 0

    async def keep_asking(connection: _Connection) -> None:
        nonlocal answered
        while goes_on(answered):
            for _ in range(10):
                status, body = await connection.ask(exchange.request())
                if status != exchange.status:
                    raise BenchError(f"{status} {body[:500]!r} instead of {exchange.status}")
                answered += 1

    await asyncio.gather(*(keep_asking(connection) for connection in connections))
    return answered
