"""Reading a multipart form with one large file: capped while it arrives, and no slower than a poor line.

Called by openai_audio.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from api.bodies import check_headers, too_large
from api.errors import Code, ProblemError
from api.openai_schemas import refuse_field

MAX_FIELDS = 32
MAX_FIELD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may arrive: uploads may be long, but neither stand still nor trickle."""

    idle_seconds: float = 30
    bytes_per_second: float = 8 * 1024


@asynccontextmanager
async def open_form(request: Request, limit_bytes: int, pace: Pace | None = None) -> AsyncIterator[FormData]:
    """The form, whose file lies in /tmp until the end of the block; a ProblemError when it is not as it should be."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        detail = "Send the file and the options as multipart/form-data."
        raise ProblemError(415, Code.UNSUPPORTED_BODY, detail).and_close()
    check_headers(request, limit_bytes)
    form = await _read(Request(request.scope, cap(request.receive, limit_bytes, pace or Pace())))
    try:
        yield form
    finally:
        await form.close()


def find_file(form: FormData) -> UploadFile:
    """The file of a form; ProblemError 400 when there is none, or nothing in it."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise refuse_field("file", "send a video or audio file, as one part with a file name")
    if not file.size:
        raise refuse_field("file", "the file is empty: send one with sound")
    return file


def cap(receive: Receive, limit_bytes: int, pace: Pace) -> Receive:
    """The same messages, until they hold more than the limit or come too slowly."""
    now = asyncio.get_running_loop().time
    begin, taken = now(), 0

    async def receive_capped() -> Message:
        nonlocal taken
        left = begin + pace.idle_seconds + taken / pace.bytes_per_second - now()
        try:
            async with asyncio.timeout(min(pace.idle_seconds, left)):
                message = await receive()
        except TimeoutError as error:
            detail = "The body did not arrive in time: send it again."
            raise ProblemError(408, Code.REQUEST_TIMEOUT, detail).and_close() from error
        taken += len(message.get("body", b""))
        if taken > limit_bytes:
            raise too_large(limit_bytes)
        return message

    return receive_capped


async def _read(request: Request) -> FormData:
    try:
        return await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except ProblemError:
        raise
    except ClientDisconnect as error:
        raise ProblemError(400, Code.BAD_REQUEST, "The body broke off: send it again.").and_close() from error
    except StarletteHTTPException as error:
        detail = f"The form cannot be read: send one file and at most {MAX_FIELDS} short fields as multipart/form-data."
        raise ProblemError(400, Code.BAD_REQUEST, detail).and_close() from error
