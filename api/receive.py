"""The step that takes the worker's callback, for installs where this API is the backend. Called by POST result."""

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.bodies import check_json_type, parse_body, read_body, work_on
from api.doors import UnavailableError
from api.errors import Code, ProblemError, job_not_found
from api.rows import Row
from api.schemas import CallbackPayload, Word
from api.wiring import Parts
from crds.callback import SignatureError, verify
from crds.transcriptionjob import NAME_PATTERN

MAX_RESULT_NODES = 1_000_000
"""About ten hours of speech with the time of each word; unfolded less than 200 MiB."""

SEAT_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it is kept: the unfolded payload is gone."""

    job_id: str
    word: Word
    canonical: bytes


async def receive(request: Request, parts: Parts) -> None:
    """Store a callback; the first of a transcription is kept, and nothing else changes."""
    check_json_type(request)
    async with _seat(parts):
        callback = await _read_callback(request, parts)
        row = await _find_ended(callback.job_id, parts)
        digest = hashlib.sha256(callback.canonical).hexdigest()
        is_kept = await parts.uploads.put_once(build_callback_key(row), callback.canonical, digest)
    if not is_kept:
        detail = "Another result of this job has been received already: the first one is kept."
        raise ProblemError(409, Code.RESULT_CONFLICT, detail)
    logger.info("callback received", extra={"transcription": row.path, "status": callback.word})


async def find_row(job_id: str, parts: Parts, *, is_fresh: bool = False) -> Row:
    """The row of an id in a path or payload; the journey's 404 when it is unknown, impossible or being deleted."""
    look = parts.store.read if is_fresh else parts.store.get
    row = await look(job_id) if re.fullmatch(NAME_PATTERN, job_id) else None
    if row is None or row.is_deleting:
        raise job_not_found()
    return row


def build_callback_key(row: Row) -> str:
    """Where a callback is kept; the UID keeps a deleted and re-made id apart, the attempt a retried one."""
    return f"callbacks/{row.namespace}/{row.name}/{row.uid}/{row.attempt}.json"


def render_canonical(payload: CallbackPayload) -> bytes:
    """The same bytes for the same payload, however it was spelt."""
    fields = {name: value for name, value in payload if value is not None} | {"status": payload.word}
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


@asynccontextmanager
async def _seat(parts: Parts) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(parts.receiving.acquire(), SEAT_SECONDS)
    except TimeoutError as error:
        raise UnavailableError("too many callbacks arrive at once") from error
    try:
        yield
    finally:
        parts.receiving.release()


async def _read_callback(request: Request, parts: Parts) -> Callback:
    body = await read_body(request, parts.settings.max_result_bytes)
    _check_signature(request, body, parts)
    async with parts.parsing:
        return await work_on(body, _parse_callback)


def _parse_callback(body: bytes) -> Callback:
    payload = _validate(parse_body(body, MAX_RESULT_NODES))
    return Callback(payload.job_id, payload.word, render_canonical(payload))


async def _find_ended(job_id: str, parts: Parts) -> Row:
    """The row, past the cache: the worker notes its result just before it posts."""
    row = await find_row(job_id, parts, is_fresh=True)
    if row.result is None and not row.state.is_final:
        detail = "The job has not ended: nothing is received for it yet."
        raise ProblemError(409, Code.RESULT_NOT_READY, detail)
    return row


def _check_signature(request: Request, body: bytes, parts: Parts) -> None:
    if not parts.settings.secrets:
        return
    try:
        verify(parts.settings.secrets, request.headers, body, parts.now())
    except SignatureError as error:
        detail = "The signature does not fit: sign the exact body with the installation's secret, by Standard Webhooks."
        raise ProblemError(401, Code.INVALID_SIGNATURE, detail) from error


def _validate(value: Any) -> CallbackPayload:
    try:
        return CallbackPayload.model_validate(value)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_input=False)]
        raise RequestValidationError(faults) from error
