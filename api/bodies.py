"""Reading request bodies: capped while they arrive, and strict about JSON.

Used by admit, quick and routes; by receive, pace and openai.form; and for large documents by openai.audio.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from email.message import Message
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive

from api.deadline import within
from api.errors import Code, ProblemError
from api.heads import Heads
from api.strict_json import (
    MAX_NODES,
    JsonEncodingError,
    JsonSizeError,
    JsonSyntaxError,
    JsonValueError,
    parse_json,
)
from api.wiring import parts_of

READ_SECONDS = 30.0
THREAD_BYTES = 64 * 1024
"""Larger bodies are parsed beside the event loop."""

MAX_TYPE_CHARS = 200

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


async def _take_any() -> None:
    return None


async def read_body(
    receive: Receive, headers: Heads, limit_bytes: int, take_large: Callable[[], Awaitable[None]] = _take_any
) -> bytes:
    """The whole body; a ProblemError when it is too large, too slow or packed. `take_large` may refuse a large one."""
    check_headers(headers, limit_bytes)
    try:
        return await within(READ_SECONDS, _take_in(receive, limit_bytes, take_large))
    except TimeoutError as error:
        detail = "The body did not arrive in time: send it again."
        raise ProblemError(408, Code.REQUEST_TIMEOUT, detail).and_close() from error


async def _take_in(receive: Receive, limit_bytes: int, take_large: Callable[[], Awaitable[None]]) -> bytes:
    body, is_large = bytearray(), False
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(400, Code.BAD_REQUEST, "The body broke off: send it again.").and_close()
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
        if len(body) > THREAD_BYTES and not is_large:
            is_large = True
            await take_large()
        if not message.get("more_body", False):
            return bytes(body)


async def work_on(body: bytes, work: Callable[[bytes], T]) -> T:
    """What `work` makes of a body; a large one holds nobody else up."""
    return await asyncio.to_thread(work, body) if len(body) > THREAD_BYTES else work(body)


async def work_alone(place: asyncio.Semaphore, body: bytes, work: Callable[[bytes], T]) -> T:
    """The same where few may work at once; a thread cannot be stopped, so its place is free when it is done."""
    await place.acquire()
    working = asyncio.ensure_future(work_on(body, work))
    working.add_done_callback(lambda _: place.release())
    return await asyncio.shield(working)


def parse_body(body: bytes, max_nodes: int = MAX_NODES) -> Any:
    """The JSON value of a body; a ProblemError when it is not strict JSON, or too much of it."""
    try:
        return parse_json(body, max_nodes)
    except JsonSizeError as error:
        raise ProblemError(413, Code.BODY_TOO_LARGE, str(error)) from error
    except JsonEncodingError as error:
        raise ProblemError(415, Code.UNSUPPORTED_BODY, str(error)) from error
    except JsonSyntaxError as error:
        raise ProblemError(400, Code.INVALID_JSON, str(error)) from error
    except JsonValueError as error:
        raise ProblemError(422, Code.INVALID_JSON, str(error)) from error


def validate(model: type[M], value: Any) -> M:
    """The value as a model; a RequestValidationError, as FastAPI raises it, when it does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_input=False)]
        raise RequestValidationError(faults) from error


async def read_json(receive: Receive, headers: Heads, limit_bytes: int) -> Any:
    """The JSON value of a whole body; a RequestValidationError, as FastAPI raises it, when there is none."""
    check_json_type(headers)
    body = await read_body(receive, headers, limit_bytes)
    check_filled(body)
    return await work_on(body, parse_body)


def check_filled(body: bytes) -> None:
    """A RequestValidationError, as FastAPI raises it, when there is no body at all."""
    if not body:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])


def check_json_type(headers: Heads) -> None:
    """A ProblemError when a body is announced that is not application/json in UTF-8."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    if not _is_json(headers.get("content-type", "text/plain")):
        raise ProblemError(415, Code.UNSUPPORTED_BODY, "Send JSON in UTF-8 with Content-Type: application/json.")


class StrictRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await read_body(self.receive, self.headers, parts_of(self).settings.max_body_bytes)
        return self._body

    async def json(self) -> Any:
        return await work_on(await self.body(), parse_body)


class StrictRoute(APIRoute):
    """A route whose body goes through this module before FastAPI validates it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            if self.body_field is not None:
                check_json_type(request.headers)
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    if len(content_type) > MAX_TYPE_CHARS:
        return False
    header = Message()
    header["content-type"] = content_type
    try:
        charset = header.get_content_charset("utf-8")
    except ValueError:
        return False
    return header.get_content_type() == "application/json" and charset in ("utf-8", "utf8", "us-ascii")


def check_headers(headers: Heads, limit_bytes: int) -> None:
    """A ProblemError when the head of a request announces a body that is too large, packed or ambiguous."""
    announced = headers.get("content-length", "0")
    if "transfer-encoding" in headers and "content-length" in headers:
        detail = "Send either Content-Length or Transfer-Encoding, not both."
        raise ProblemError(400, Code.BAD_REQUEST, detail).and_close()
    if not (announced.isascii() and announced.isdigit()) or int(announced[:20]) > limit_bytes:
        raise too_large(limit_bytes)
    if headers.get("content-encoding", "identity") != "identity":
        raise ProblemError(415, Code.UNSUPPORTED_BODY, "Send the body without Content-Encoding.")


def too_large(limit_bytes: int) -> ProblemError:
    """The 413 for a body beyond the limit."""
    detail = f"The body is larger than {limit_bytes} bytes: send a smaller one."
    return ProblemError(413, Code.BODY_TOO_LARGE, detail).and_close()
