"""The layer that tells browsers who may read an answer. Wired by app, inside observe."""

from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.heads import heads_of

EXPOSED_HEADERS = (
    "Location",
    "ETag",
    "Retry-After",
    "Content-Disposition",
    "Content-Range",
    "Content-Length",
    "Accept-Ranges",
    "X-Request-ID",
)
VARY = (b"vary", b"Origin")


class Cors(CORSMiddleware):
    """Starlette's; without an Origin there is nothing to decide, and its machinery is left out."""

    def __init__(self, app: ASGIApp, allow_origins: list[str]) -> None:
        super().__init__(
            app,
            allow_origins=allow_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "origin" in heads_of(scope):
            await super().__call__(scope, receive, send)
            return

        async def send_and_vary(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], VARY]
            await send(message)

        await self.app(scope, receive, send_and_vary)
