"""A callback receiver that keeps a ledger and may be at fault in the middle of a delivery."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink:
    """Each POST is applied, and then answered with 204; or held, or dropped."""

    def __init__(self) -> None:
        self.ledger: list[tuple[str, bytes]] = []
        """Id and body of every POST that was applied."""
        self.is_reached = threading.Event()
        self._holds = 0
        self._drops = 0
        self.has_dropped = False
        self._is_over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._build_handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def hold_next(self) -> None:
        """The next POST is applied, and gets no answer until it is let go."""
        self.is_reached.clear()
        self._is_over.clear()
        self._holds = 1

    def drop_next(self) -> None:
        """The next POST is applied, and its connection breaks."""
        self._drops, self.has_dropped = 1, False

    def wait(self) -> None:
        assert self.is_reached.wait(60), "no callback came to be held"

    def let_go(self) -> None:
        self._is_over.set()

    def effects(self, callback_id: str) -> set[bytes]:
        """What a receiver that applies each id once would have done: one body, however often it came."""
        return {body for id_, body in self.ledger if id_ == callback_id}

    @contextmanager
    def running(self) -> Iterator["Sink"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.let_go()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def _build_handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.ledger.append((self.headers["webhook-id"], body))
                if sink._drops:
                    sink._drops -= 1
                    sink.has_dropped = True
                    self.close_connection = True
                    return
                if sink._holds:
                    sink._holds -= 1
                    sink.is_reached.set()
                    sink._is_over.wait(60)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler
