"""A callback receiver on this machine that pods can reach, and may be down at first. Used by callback tests."""

import queue
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Delivery:
    """One POST as it came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    answered: int


class Receiver:
    """Keeps its port from the start, but refuses connections until `open` is called.

    The first answers may be given; after those each POST gets 204.
    """

    def __init__(self, host: str, answers: Iterable[int] = ()) -> None:
        self._deliveries: queue.Queue[Delivery] = queue.Queue()
        self._answers = iter(answers)
        self._server = ThreadingHTTPServer((host, 0), self._build_handler(), bind_and_activate=False)
        self._server.server_bind()  # bound and not listening: the port is ours, and the kernel refuses callers
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self._server.server_address[1]}/hook"

    def open(self) -> None:
        """Come up."""
        self._server.server_activate()
        self._thread.start()

    def next(self, timeout_seconds: float) -> Delivery:
        """The next POST; fails when none comes in time."""
        try:
            return self._deliveries.get(timeout=timeout_seconds)
        except queue.Empty:
            raise AssertionError(f"no callback came within {timeout_seconds} s") from None

    @property
    def waiting(self) -> int:
        """How many POSTs have come in that nobody has taken."""
        return self._deliveries.qsize()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _build_handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = next(receiver._answers, 204)
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                # before the answer goes out, so that deliveries stand in the order in which they were answered
                receiver._deliveries.put(Delivery(self.path, headers, body, answer))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


def address_towards(peer: str) -> str:
    """This machine's own address on the way to a peer; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))
        return str(probe.getsockname()[0])
