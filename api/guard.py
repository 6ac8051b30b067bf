"""The layer inside CORS: refuses outsized heads, and answers when a handler fails. Wired by app."""

import logging
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import Code, ProblemError, render_problem
from api.heads import heads_of
from api.observe import STATUS

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_QUERY_BYTES = 16 * 1024

logger = logging.getLogger(__name__)


class Guard:
    """ASGI middleware: 400 without a host, 414 for a long query, 431 for too many or too long headers.

    What nobody caught is a 500. It stands inside CORS, so that browsers may read these answers as any other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp = self._serve
        if scope["type"] == "http":
            headers = scope["headers"]
            if len(headers) > MAX_HEADERS or _measure(headers) > MAX_HEADER_BYTES:
                detail = "The headers are too large: send fewer and shorter ones."
                answer = render_problem(ProblemError(431, Code.BAD_REQUEST, detail).and_close(), scope["path"])
            elif "host" not in heads_of(scope):
                detail = "The request names no host: send a Host header."
                answer = render_problem(ProblemError(400, Code.BAD_REQUEST, detail).and_close(), scope["path"])
            elif len(scope["query_string"]) > MAX_QUERY_BYTES:
                detail = "The query is too long: send a shorter one."
                answer = render_problem(ProblemError(414, Code.BAD_REQUEST, detail), scope["path"])
        await answer(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            if STATUS in scope or scope["type"] != "http":
                raise
            logger.exception("unknown error")
            detail = "The service failed for a reason of its own: see its log."
            await render_problem(ProblemError(500, Code.INTERNAL_ERROR, detail), scope["path"])(scope, receive, send)


def _measure(headers: Iterable[tuple[bytes, bytes]]) -> int:
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    return size
