"""The step that takes the worker's callback, for installs where this API is the backend. Called by POST result."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from fastapi import Request

from api.auth import KEY_HEADER
from api.bodies import READ_SECONDS, check_filled, check_json_type, parse_body, read_body, validate, work_alone
from api.doors import UnavailableError
from api.errors import Code, ProblemError
from api.lookup import find_any_row
from api.pace import Pace, cap
from api.row import Row
from api.schemas import CallbackPayload, Word
from api.segments import find_fault
from api.wiring import Parts
from crds.callback import MAX_SIGNATURES, SIGNATURE_HEADER, SignatureError, TooManySignaturesError, check_form, verify
from crds.worker import build_callback_id

MAX_RESULT_NODES = 1_000_000
"""About ten hours of speech with the time of each word; unfolded less than 200 MiB."""

SEAT_SECONDS = 2.0
PACE = Pace(idle_seconds=5, grace_seconds=5, total_seconds=READ_SECONDS)
"""Workers send all they have at once."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it is kept: the unfolded payload is gone. The id is None where nothing is signed."""

    job_id: str
    word: Word
    canonical: bytes
    message_id: str | None = None


async def receive(request: Request, parts: Parts) -> None:
    """Store a callback; the first of a transcription is kept, and nothing else changes."""
    async with AsyncExitStack() as seat:
        callback = await _read_callback(request, parts, seat)
        row = await _find_ended(callback, parts)
        digest = hashlib.sha256(callback.canonical).hexdigest()
        is_kept = await parts.uploads.put_once(build_callback_key(row), callback.canonical, digest)
    if not is_kept:
        detail = "Another result of this job has been received already: the first one is kept."
        raise ProblemError(409, Code.RESULT_CONFLICT, detail)
    logger.info("callback received", extra={"transcription": row.path, "status": callback.word})


def build_callback_prefix(row: Row) -> str:
    """Where a job's callbacks are kept; the UID keeps a deleted and re-made id apart."""
    return f"callbacks/{row.namespace}/{row.name}/{row.uid}/"


def build_callback_key(row: Row) -> str:
    """Where the callback of the present attempt is kept."""
    return f"{build_callback_prefix(row)}{row.attempt}.json"


def render_canonical(payload: CallbackPayload) -> bytes:
    """The same bytes for the same payload, however it was spelt."""
    fields = {name: value for name, value in payload if value is not None} | {"status": payload.word}
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


async def _read_callback(request: Request, parts: Parts, seat: AsyncExitStack) -> Callback:
    """What a stranger can send without the secret costs neither a seat nor memory, as far as the head tells."""
    try:
        _check_sender(request, parts)
        check_json_type(request.headers)
        limit = parts.settings.max_result_bytes
        capped = cap(request.receive, limit, PACE)
        body = await read_body(capped, request.headers, limit, partial(_take_seat, parts, seat))
        message_id = _check_signature(request, body, parts)
    except ProblemError as problem:
        if problem.code is Code.INVALID_SIGNATURE:
            parts.rates.count_failure(request.client.host if request.client else "")
        raise
    check_filled(body)
    callback = await work_alone(parts.parsing, body, _parse_callback)
    return replace(callback, message_id=message_id)


async def _take_seat(parts: Parts, seat: AsyncExitStack) -> None:
    """Few hold a large body at once; a small one needs no seat."""
    try:
        async with asyncio.timeout(SEAT_SECONDS):
            await seat.enter_async_context(parts.receiving)
    except TimeoutError as error:
        raise UnavailableError("too many callbacks arrive at once") from error


def _parse_callback(body: bytes) -> Callback:
    payload = validate(CallbackPayload, parse_body(body, MAX_RESULT_NODES))
    fault = find_fault(payload.result or {})
    if fault is not None:
        faults = [{"field": "result", "message": fault}]
        raise ProblemError(422, Code.VALIDATION_FAILED, fault, {"errors": faults})
    return Callback(payload.job_id, payload.word, render_canonical(payload))


async def _find_ended(callback: Callback, parts: Parts) -> Row:
    """The row, past the cache: the worker notes its result just before it posts."""
    row = await find_any_row(callback.job_id, parts, is_fresh=True)
    if callback.message_id is not None:
        _check_attempt(callback.message_id, row)
    if row.result is None and not row.state.is_final:
        detail = "The job has not ended: nothing is received for it yet."
        raise ProblemError(409, Code.RESULT_NOT_READY, detail)
    return row


def _check_attempt(message_id: str, row: Row) -> None:
    """What was signed for one job, or for one attempt, is nothing for another."""
    if message_id == build_callback_id(row.uid, row.attempt):
        return
    if message_id in (build_callback_id(row.uid, attempt) for attempt in range(row.attempt)):
        detail = "The job has been tried again since: the result of an earlier attempt is not received any more."
        raise ProblemError(409, Code.RESULT_CONFLICT, detail)
    detail = "The signed webhook-id is not the one of this job: send the callback as it was made."
    raise ProblemError(403, Code.FORBIDDEN, detail)


def _check_sender(request: Request, parts: Parts) -> None:
    """Before the body is read: without a signature it is nobody's callback, and a user's credential is none.

    The connection stays open, so that a sender in the middle of its body gets to see the answer.
    """
    settings = parts.settings
    if not settings.secrets:
        return
    if SIGNATURE_HEADER in request.headers:
        _translate(lambda: check_form(request.headers, parts.now()))
        return
    if settings.auth_mode != "none" and {"authorization", KEY_HEADER} & set(request.headers):
        detail = "Results are received from workers alone: a caller's credential does not do, only a signature."
        raise ProblemError(403, Code.FORBIDDEN, detail)
    detail = "The signature is missing: sign the exact body with the installation's secret, by Standard Webhooks."
    raise ProblemError(401, Code.INVALID_SIGNATURE, detail)


def _check_signature(request: Request, body: bytes, parts: Parts) -> str | None:
    """The signed webhook-id."""
    if not parts.settings.secrets:
        return None
    return _translate(lambda: verify(parts.settings.secrets, request.headers, body, parts.now()))


def _translate(check: Callable[[], T]) -> T:
    try:
        return check()
    except TooManySignaturesError as error:
        detail = f"Send at most {MAX_SIGNATURES} signatures in webhook-signature."
        raise ProblemError(400, Code.INVALID_SIGNATURE, detail) from error
    except SignatureError as error:
        detail = "The signature does not fit: sign the exact body with the installation's secret, by Standard Webhooks."
        raise ProblemError(401, Code.INVALID_SIGNATURE, detail) from error
