"""The outermost layer of the app: one log line and one count for each request. Wired by app."""

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from crds.log import log_line
from crds.transcriptionjob import NAME_PATTERN

QUIET = frozenset({"/health", "/ready", "/metrics"})
UNMATCHED = "unmatched"
DOCUMENT = "/openapi.json"
MAX_PATH_CHARS = 200

STATUS = "api.status"
"""Where the scope has the status of an answer that has begun."""

logger = logging.getLogger("api.access")

_NAME = re.compile(NAME_PATTERN)


class Observe:
    """ASGI middleware; the query string is never logged."""

    def __init__(self, app: ASGIApp, metrics: Metrics, namespace: str) -> None:
        self._app = app
        self._metrics = metrics
        self._namespace = namespace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                self._count(scope, time.perf_counter() - begin)
            await send(message)

        self._metrics.open()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._metrics.close()
            seconds = time.perf_counter() - begin
            if STATUS not in scope:
                scope[STATUS] = 500
                self._count(scope, seconds)
            self._log(scope, seconds)

    def _count(self, scope: Scope, seconds: float) -> None:
        """With the first byte: how long a stream goes on says nothing about how quick we are."""
        self._metrics.count(scope["method"], _route_of(scope), scope[STATUS], seconds)

    def _log(self, scope: Scope, seconds: float) -> None:
        facts = {
            "method": scope["method"],
            "path": scope["path"][:MAX_PATH_CHARS],
            "status": scope[STATUS],
            "duration_ms": round(seconds * 1000, 1),
        }
        name = scope.get("path_params", {}).get("job_id", "")
        if name and _NAME.fullmatch(name):
            facts["transcription"] = f"{self._namespace}/{name}"
        level = logging.DEBUG if _route_of(scope) in QUIET else logging.INFO
        log_line(logger, level, "request", facts)


def _route_of(scope: Scope) -> str:
    """The template that matched. FastAPI's own route for its document leaves none."""
    path: str = getattr(scope.get("route"), "path", DOCUMENT if scope["path"] == DOCUMENT else UNMATCHED)
    return path
