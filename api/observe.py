"""The outermost layer of the app: one log line and one count for each request. Wired by app."""

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from crds.transcriptionjob import NAME_PATTERN

QUIET = frozenset({"/health", "/ready", "/metrics"})
UNMATCHED = "unmatched"
MAX_PATH_CHARS = 200

logger = logging.getLogger("api.access")


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
        status = 500
        begin = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._note(scope, status, time.perf_counter() - begin)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.count(scope["method"], route, status, seconds)
        facts = {
            "method": scope["method"],
            "path": scope["path"][:MAX_PATH_CHARS],
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
        }
        name = scope.get("path_params", {}).get("job_id", "")
        if re.fullmatch(NAME_PATTERN, name):
            facts["transcription"] = f"{self._namespace}/{name}"
        logger.log(logging.DEBUG if route in QUIET else logging.INFO, "request", extra=facts)
