"""HTTP/1.1 as the API speaks it: httptools, with the bounds that uvicorn leaves out. Given to uvicorn by __main__.

The parser is strict about line ends, folded lines, lengths and chunks; what it lets pass is refused here. Fewer bytes
than these bounds, but more than a request needs, are guard's: it answers with a problem.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.errors import RETRY_SECONDS, Code, ProblemError, render_problem
from api.guard import MAX_HEADERS

HEAD_SECONDS = 30.0
"""From the connection, or from the first byte of a later head, to the end of the head."""

LINGER_SECONDS = 2.0
MAX_HEAD_BYTES = 64 * 1024
MAX_PIPELINED = 8
MAX_CONNECTIONS = 2000
"""Beyond them only the probes are served: a crowd is no reason to restart the pod."""

PROBES = frozenset({b"/health", b"/ready"})
BAD = HTTPStatus.BAD_REQUEST
URL_TOO_LONG = HTTPStatus.REQUEST_URI_TOO_LONG
HEAD_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
DETAILS = {
    BAD: "The request is not HTTP/1.1 that is read in one way alone: correct it and send it again.",
    URL_TOO_LONG: "The path and query are too long: send shorter ones.",
    HEAD_TOO_LARGE: "The headers are too large: send fewer and shorter ones.",
}
VERSIONS = frozenset({"1.0", "1.1"})


class HeadError(Exception):
    """A head that is refused; the parser stops for good."""


class Lingering:
    """A transport that is closed by its protocol."""

    def __init__(self, transport: asyncio.Transport, protocol: "Protocol") -> None:
        self._transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._protocol.close(self._transport)


class Protocol(HttpToolsProtocol):
    """One connection. Of pipelined requests those before a bad one are still answered, in their order."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ws_protocol_class = None
        self.url = b""
        self._active: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._is_done = False
        self._head_bytes = 0
        self._silent_bytes = 0
        self._status = BAD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Lingering(transport, self)))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.pipeline.clear()
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What no callback has been told of lies in the parser, which has no bound of its own."""
        if self._is_done:
            return
        self._silent_bytes += len(data)
        super().data_received(data)
        if self._silent_bytes > MAX_HEAD_BYTES:
            self._status = HEAD_TOO_LARGE
            self.send_400_response("")
        elif self._is_in_head or not self._is_serving():
            self._await_head()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_bytes = self._silent_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url), URL_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are counted and dropped; of too many headers as many are kept as guard needs to refuse them."""
        self._count(len(name) + len(value), HEAD_TOO_LARGE)
        if self._is_in_head and len(self.headers) <= MAX_HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._check_head()
        self._is_in_head = False
        self._silent_bytes = 0
        self._stop_timer()
        self.limit_concurrency = None if self.url in PROBES else self.config.limit_concurrency
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's own words are not used
        """End the connection, after the answers to all that came whole."""
        self._is_done = True
        if not self._is_serving():
            self._refuse()
        elif not self.cycle.more_body:
            self.cycle.keep_alive = False
        elif self.cycle is self._active and not self.cycle.response_started:
            self._refuse()
        else:
            self.transport.close()

    def close(self, transport: asyncio.Transport) -> None:
        """Take in what the client still sends for a moment: a reset would take our answer from it."""
        is_sending = self.cycle is not None and self.cycle.more_body
        if transport.is_closing() or not is_sending or not transport.can_write_eof():
            transport.close()
            return
        self._is_done = True
        transport.resume_reading()
        transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, transport.close)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        asked: Any = turn_away if app is service_unavailable else app
        super()._start_asgi_task(cycle, asked)

    def _is_serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, size: int, status: HTTPStatus) -> None:
        self._silent_bytes = 0
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._status = status
            raise HeadError

    def _check_head(self) -> None:
        """What proxies may read in two ways, and versions that are none of ours."""
        version = self.parser.get_http_version()
        hosts = 0
        for name, value in self.headers:
            hosts += name == b"host"
            if name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
                raise HeadError
        if hosts > 1 or version not in VERSIONS or len(self.pipeline) >= MAX_PIPELINED:
            raise HeadError

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self._is_done = True
        if self._is_serving():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _refuse(self) -> None:
        """A problem as any other, though no request has come of it."""
        problem = ProblemError(self._status, Code.BAD_REQUEST, DETAILS[self._status]).and_close()
        answer = render_problem(problem, self.url.decode("latin-1"))
        lines = [f"HTTP/1.1 {self._status} {self._status.phrase}".encode()]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()


async def turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    """What all but the probes get in a crowd."""
    detail = "More requests are open than are served at once: send the same request again in a moment."
    problem = ProblemError(503, Code.UNAVAILABLE, detail).with_headers(Retry_After=str(RETRY_SECONDS)).and_close()
    await render_problem(problem, scope["path"])(scope, receive, send)
