"""Transcribing for OpenAI's clients: take the file, store it, submit, wait, answer. Called by routes."""

import asyncio
import logging
import mimetypes
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from api.auth import Caller
from api.bodies import work_alone
from api.doors import UnavailableError
from api.errors import Code, ProblemError
from api.filenames import FilenameError, build_upload_key
from api.openai.faults import refer, refer_failure, status_url
from api.openai.form import find_file, open_form
from api.openai.models import choose_model
from api.openai.render import render_answer, stored_format
from api.openai.schemas import TranscriptionForm, parse_form, refuse_field
from api.rates import network_of
from api.row import Row
from api.schemas import MEDIA_TYPE, RequestProcessRequest
from api.seats import NoSeatError
from api.sources import build_video_url
from api.submit import check_room, submit
from api.wiring import Parts
from crds.transcriptionjob import State

SEAT_SECONDS = 2.0
RETRY_SECONDS = 2
CLIENT_GONE = 499

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def transcribe(request: Request, parts: Parts, caller: Caller) -> Response:
    """The transcript of the file in a form. What goes wrong once the job is made is answered with the job's URL."""
    form, row = await _start(request, parts, caller)
    try:
        return await _while_connected(request, _finish(form, row, parts))
    except ClientDisconnect:
        logger.info("client left", extra={"transcription": row.path})
        return Response(status_code=CLIENT_GONE)
    except TimeoutError as error:
        raise refer(row, 504, Code.TIMED_OUT, f"The job goes on: see {status_url(row)} for its end.") from error
    except UnavailableError as error:
        logger.warning("answer unavailable", extra={"transcription": row.path, "error": str(error)})
        detail = f"The job is there, but a system that this service needs does not answer: see {status_url(row)}."
        problem = refer(row, 503, Code.UNAVAILABLE, detail).with_headers(Retry_After=str(RETRY_SECONDS))
        raise problem from error


async def _start(request: Request, parts: Parts, caller: Caller) -> tuple[TranscriptionForm, Row]:
    check_room(parts)
    async with _seat(request, parts, caller), open_form(request, parts.settings.max_audio_bytes) as fields:
        form, file = parse_form(fields), find_file(fields)
        model = choose_model(form.model, parts.settings)
        key = _build_key(file, parts, caller)
        await parts.uploads.put_file(key, file.file, _type_of(file))
    asked = RequestProcessRequest(
        video_url=build_video_url(key, parts.storage),
        model=model,
        language=form.language,
        word_timestamps=form.has_words,
        initial_prompt=form.prompt,
        formats=list(dict.fromkeys(("json", stored_format(form)))),
    )
    return form, await submit(str(uuid.uuid4()), asked, parts, caller, known_as=())


async def _finish(form: TranscriptionForm, row: Row, parts: Parts) -> Response:
    async with asyncio.timeout(parts.settings.openai_wait_seconds):
        row = await _wait_until_final(row, parts)
    if row.result is None or row.state is not State.SUCCEEDED:
        raise refer_failure(row, parts.store.rows)
    stored = await _read(row, row.result.key_of(stored_format(form)), parts)
    duration = row.result.duration_seconds
    answer = await work_alone(parts.parsing, stored, lambda body: render_answer(form, body, duration))
    answer.headers["X-Request-ID"] = row.name
    return answer


async def _wait_until_final(row: Row, parts: Parts) -> Row:
    while not row.state.is_final:
        seen = await parts.store.wait_for_change(row.name, row.version)
        if seen is None or seen.is_deleting or seen.uid != row.uid:
            detail = "The job was deleted before it ended: send the file again."
            raise refer(row, 409, Code.JOB_CONFLICT, detail)
        row = seen
    return row


async def _read(row: Row, key: str, parts: Parts) -> bytes:
    found = await parts.uploads.open(key)
    if found is None:
        raise refer(row, 410, Code.RESULT_GONE, "The transcript has been deleted: send the file again.")
    async with aclosing(found.chunks) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work; ClientDisconnect as soon as nobody is there to read it."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_leave(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def _seat(request: Request, parts: Parts, caller: Caller) -> AsyncIterator[None]:
    """A place for one upload: each may take as much of /tmp as the cap allows."""
    address = request.client.host if request.client else ""
    name = caller.tenant if caller.is_confined else network_of(address)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(parts.uploading.take(name, SEAT_SECONDS))
        except NoSeatError as error:
            detail = "Many files arrive at once: wait as many seconds as Retry-After says, and send fewer side by side."
            problem = ProblemError(429, Code.RATE_LIMITED, detail).with_headers(Retry_After=str(RETRY_SECONDS))
            raise problem.and_close() from error
        yield


def _build_key(file: UploadFile, parts: Parts, caller: Caller) -> str:
    try:
        return build_upload_key(caller.tenant, file.filename or "audio", parts.now(), secrets.token_hex(4))
    except FilenameError as error:
        raise refuse_field("file", str(error)) from error


def _type_of(file: UploadFile) -> str:
    """What the part says where that is a media type, else what the name says."""
    said = file.content_type or ""
    if re.fullmatch(MEDIA_TYPE, said):
        return said
    return mimetypes.guess_type(file.filename or "")[0] or "application/octet-stream"
