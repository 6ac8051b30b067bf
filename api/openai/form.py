"""Reading a multipart form with one large file: capped while it arrives, and no slower than a poor line.

Called by audio.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from api.bodies import check_headers
from api.errors import Code, ProblemError
from api.openai.schemas import refuse_field
from api.pace import Pace, cap

MAX_FIELDS = 32
MAX_FIELD_BYTES = 64 * 1024


@asynccontextmanager
async def open_form(request: Request, limit_bytes: int, pace: Pace | None = None) -> AsyncIterator[FormData]:
    """The form, whose file lies in /tmp until the end of the block; a ProblemError when it is not as it should be."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        detail = "Send the file and the options as multipart/form-data."
        raise ProblemError(415, Code.UNSUPPORTED_BODY, detail).and_close()
    check_headers(request.headers, limit_bytes)
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
