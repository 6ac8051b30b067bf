"""Waiting for news of one transcription: the long-poll, and the stream of server-sent events. Called by routes."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator

from fastapi import Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from api.documents import render_status
from api.doors import UnavailableError
from api.row import Row
from api.schemas import StatusDocument
from api.wiring import Parts

MAX_WAIT_SECONDS = 300
KEEP_ALIVE_SECONDS = 15.0
LINE_SECONDS = 2.0
CATCH_UP_SECONDS = 3.0
"""A client may come from a replica that was ahead; a version that nobody has shown is not waited for longer."""

_EVENT_ID = re.compile(r"[0-9]{1,19}")

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def wait_for_news(row: Row, seconds: float, parts: Parts) -> Row | None:
    """The row when its document has changed, at once when it is final, or when the time is over; None when deleted."""
    before = _document(row, parts)
    latest: Row | None = row
    try:
        async with asyncio.timeout(seconds):
            while latest and not latest.state.is_final and _document(latest, parts) == before:
                row = latest
                latest = await _look_again(row, parts, seconds)
    except (TimeoutError, UnavailableError):
        return row
    return latest


def answer_events(row: Row, last_event_id: str | None, parts: Parts) -> Response:
    """The stream; 204, which ends a browser's reconnecting, when the client has seen all of it."""
    if row.state.is_final and _parse_event_id(last_event_id) == row.version:
        return Response(status_code=204)
    events = stream_events(row, last_event_id, parts)
    return StreamingResponse(events, headers=STREAM_HEADERS, media_type="text/event-stream")


async def stream_events(
    row: Row, last_event_id: str | None, parts: Parts, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncGenerator[bytes]:
    """The document now and after each change, until the final one or the deletion; not what `last_event_id` shows."""
    now = asyncio.get_running_loop().time
    seen = _parse_event_id(last_event_id)
    shown: StatusDocument | None = None
    latest: Row | None = row
    said = now()
    with contextlib.suppress(UnavailableError):
        latest = await _catch_up(row, seen, parts)
        while latest is not None:
            row, document = latest, _document(latest, parts)
            if document != shown and (shown is not None or row.version != seen):
                yield _render_event(row, document)
                said = now()
            elif now() - said >= keep_alive_seconds:
                yield KEEPALIVE_COMMENT
                said = now()
            if row.state.is_final:
                return
            shown = document
            latest = await _look_again(row, parts, keep_alive_seconds)


def _document(row: Row, parts: Parts) -> StatusDocument:
    return render_status(row, parts.store.rows)


def _render_event(row: Row, document: StatusDocument) -> bytes:
    return format_sse_event(data_str=document.model_dump_json(exclude_none=True), id=str(row.version))


def _parse_event_id(text: str | None) -> int | None:
    """A resource version; what is none counts as absent."""
    return int(text) if text and _EVENT_ID.fullmatch(text) else None


async def _find_next(row: Row, parts: Parts) -> Row | None:
    """The row when it has changed; None when that very transcription is gone or going."""
    latest = await parts.store.wait_for_change(row.name, row.version)
    return latest if latest and latest.uid == row.uid and not latest.is_deleting else None


async def _look_again(row: Row, parts: Parts, seconds: float) -> Row | None:
    """The row when it has changed or the time is over; sooner while it is in line, where others make it move on."""
    is_in_line = parts.store.rows.place_of(row) is not None
    try:
        async with asyncio.timeout(min(seconds, LINE_SECONDS) if is_in_line else seconds):
            return await _find_next(row, parts)
    except TimeoutError:
        return row


async def _catch_up(row: Row, seen: int | None, parts: Parts) -> Row | None:
    if seen is None or row.version >= seen:
        return row
    try:
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while row.version < seen and (latest := await _find_next(row, parts)):
                row = latest
    except TimeoutError:
        return row
    return row if row.version >= seen else None
