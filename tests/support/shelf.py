"""An S3 server with one file, which sends it as a test wants: held back, broken off, or changed meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event

CHUNK = 1 << 14


@dataclass
class Shelf:
    """From `held` on nothing is sent before `release`; at each of `breaks` a connection ends, once."""

    content: bytes
    etag: str = '"abc"'
    held: int | None = None
    release: Event = field(default_factory=Event)
    breaks: list[int] = field(default_factory=list)
    changes_at: int | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    url: str = ""

    def may_send(self, at: int) -> bool:
        """Wait if need be; False when the connection breaks here."""
        if self.changes_at is not None and at >= self.changes_at:
            self.etag = '"changed"'
        if self.held is not None and at >= self.held:
            assert self.release.wait(30)
        broken = [place for place in self.breaks if at <= place < at + CHUNK]
        for place in broken:
            self.breaks.remove(place)
        return not broken


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, shelf: Shelf, *rest: object) -> None:
        self._shelf = shelf
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        shelf = self._shelf
        first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
        shelf.ranges.append((first, last))
        if self.headers.get("If-Match", shelf.etag) != shelf.etag:
            return self._refuse(412, "PreconditionFailed")
        if first >= len(shelf.content):
            return self._refuse(416, "InvalidRange")
        end = min(last + 1, len(shelf.content))
        self.send_response(206)
        self.send_header("ETag", shelf.etag)
        self.send_header("Content-Length", str(end - first))
        self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(shelf.content)}")
        self.end_headers()
        for at in range(first, end, CHUNK):
            if not shelf.may_send(at):
                self.close_connection = True
                return None
            self.wfile.write(shelf.content[at : min(at + CHUNK, end)])
        return None

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(shelf: Shelf) -> Iterator[Shelf]:
    """Until then it is at `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, shelf))
    server.daemon_threads = True
    shelf.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shelf
    finally:
        shelf.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
