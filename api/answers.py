"""The answers of the paths that are asked most. Used by routes."""

from fastapi import Response


class JsonAnswer(Response):
    """JSON that is bytes already, with its headers as they are sent: Starlette's own asks more of each answer."""

    def __init__(self, body: bytes, status_code: int = 200, location: str | None = None) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = [] if location is None else [(b"location", location.encode("latin-1"))]
        self.raw_headers += [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
