"""Refuses requests with outsized heads before anything reads them. Wired by app."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import Code, render_problem

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_QUERY_BYTES = 16 * 1024


class Guard:
    """ASGI middleware: 414 for a long query, 431 for too many or too long headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] == "http":
            headers = scope["headers"]
            if len(headers) > MAX_HEADERS or sum(len(k) + len(v) for k, v in headers) > MAX_HEADER_BYTES:
                answer = render_problem(
                    431, Code.BAD_REQUEST, "The headers are too large: send fewer and shorter ones."
                )
            elif len(scope["query_string"]) > MAX_QUERY_BYTES:
                answer = render_problem(414, Code.BAD_REQUEST, "The query is too long: send a shorter one.")
        await answer(scope, receive, send)
