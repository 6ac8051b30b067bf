"""Whether the process is well: looked at from within once a second, told to the kubelet by a thread of its own.

The thread answers when the event loop does not, and says so. Started by __main__.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NoReturn

TICK_SECONDS = 1.0
BLOCKED_AFTER_SECONDS = 20.0
LAGS_KEPT = 60

Check = Callable[[], str | None]
"""What is wrong, if anything. Called on the event loop."""


class Health:
    """The findings of the last tick. find_problems() may be called from any thread, all else on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checks: list[Check] = []
        self._lags: deque[float] = deque(maxlen=LAGS_KEPT)
        self._state: tuple[float, list[str]] = (clock(), [])

    def add(self, *checks: Check) -> None:
        self._checks.extend(checks)

    @property
    def worst_lag(self) -> float:
        """By how many seconds the event loop came late, at most, in the last minute."""
        return max(self._lags, default=0.0)

    async def run(self) -> NoReturn:
        """Tick for ever."""
        while True:
            due = self._clock() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.tick(self._clock() - due)

    def tick(self, lag: float = 0.0) -> None:
        """Look at everything once."""
        self._lags.append(max(0.0, lag))
        found = [problem for check in self._checks if (problem := check())]
        self._state = (self._clock(), found)

    def find_problems(self) -> list[str]:
        """What is wrong; a loop that does not tick knows nothing of itself, so that is all there is to say then."""
        ticked_at, found = self._state
        silent = self._clock() - ticked_at
        return [f"the event loop is blocked for {silent:.0f} s"] if silent > BLOCKED_AFTER_SECONDS else found


def find_end(tasks: Iterable["asyncio.Task[NoReturn]"]) -> str | None:
    """Whether one that runs for ever has ended."""
    return next((f"the task {task.get_name()} has ended" for task in tasks if task.done()), None)


def serve_health(health: Health, port: int, address: str = "0.0.0.0") -> ThreadingHTTPServer:  # noqa: S104  # the kubelet asks from outside
    """Answer GET /healthz from now on: 200, or 503 and what is wrong; shutdown() ends it."""

    class Answer(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/healthz":
                self.send_error(404)
                return
            problems = health.find_problems()
            body = json.dumps({"problems": problems}).encode()
            self.send_response(503 if problems else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The kubelet asks every few seconds: nothing to write down."""

    server = ThreadingHTTPServer((address, port), Answer)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
