"""The step that takes the worker's callback, for installs where this API is the backend. Called by POST result."""

import hashlib
import json
import logging
import re
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.bodies import check_json_type, parse_body, read_body
from api.errors import Code, ProblemError, job_not_found
from api.rows import Row
from api.schemas import CallbackPayload
from api.wiring import Parts
from crds.callback import SignatureError, verify
from crds.transcriptionjob import NAME_PATTERN

logger = logging.getLogger(__name__)


async def receive(request: Request, parts: Parts) -> None:
    """Store a callback; the first of a transcription is kept, and nothing else changes."""
    check_json_type(request)
    body = await read_body(request, parts.settings.max_result_bytes)
    _check_signature(request, body, parts)
    payload = _validate(await parse_body(body))
    row = await find_row(payload.job_id, parts)
    canonical = render_canonical(payload)
    if not await parts.uploads.put_once(build_callback_key(row), canonical, hashlib.sha256(canonical).hexdigest()):
        detail = "Another result of this job has been received already: the first one is kept."
        raise ProblemError(409, Code.RESULT_CONFLICT, detail)
    logger.info("callback received", extra={"transcription": row.path, "status": payload.word})


async def find_row(job_id: str, parts: Parts) -> Row:
    """The row of an id in a path or payload; the journey's 404 when it is unknown, impossible or being deleted."""
    row = await parts.store.get(job_id) if re.fullmatch(NAME_PATTERN, job_id) else None
    if row is None or row.is_deleting:
        raise job_not_found()
    return row


def build_callback_key(row: Row) -> str:
    """Where a callback is kept; the UID keeps a deleted and re-made id apart, the attempt a retried one."""
    return f"callbacks/{row.namespace}/{row.name}/{row.uid}/{row.attempt}.json"


def render_canonical(payload: CallbackPayload) -> bytes:
    """The same bytes for the same payload, however it was spelt."""
    fields = payload.model_dump(exclude_none=True) | {"status": payload.word}
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


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
