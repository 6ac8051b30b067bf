"""The transcript as stored, streamed from S3: whole, a range, or not again when the client has it. Called by routes."""

import logging
import re
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.dispositions import build_download_name, render_disposition
from api.doors import Download, RangeError, UnavailableError
from api.errors import Code, ProblemError
from api.lookup import build_conflict
from api.row import Result, Row
from api.wiring import Parts
from crds.transcriptionjob import FORMATS, Format

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
}
NO_TRANSCRIPT = "There is no transcript: see the job's status."

logger = logging.getLogger(__name__)

_ONE_RANGE = re.compile(r"bytes=(\d{1,18}-\d{0,18}|-\d{1,18})", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@dataclass(frozen=True, slots=True)
class File:
    """What is fetched, and the headers that go with it whatever the answer."""

    path: str
    key: str
    headers: dict[str, str]


async def answer_result(row: Row, request: Request, parts: Parts) -> Response:
    """Whisper's own JSON."""
    result = _result_of(row, parts)
    return await _answer(_build_file(row, result, "json"), request, parts)


async def answer_transcript(row: Row, output: Format, request: Request, parts: Parts) -> Response:
    """One format as a file to save."""
    result = _result_of(row, parts)
    made = [name for name in FORMATS if name == "json" or name in result.formats]
    if output not in made:
        detail = f"This format was not asked for: there is {', '.join(made)}. Send a new request for the video."
        raise ProblemError(404, Code.FORMAT_NOT_MADE, detail)
    file = _build_file(row, result, output)
    file.headers["Content-Disposition"] = render_disposition(build_download_name(row.source_key, output), row.name)
    return await _answer(file, request, parts)


def parse_range(header: str) -> str | None:
    """The one range that is asked for; None for the whole file, as for several, for other units and for nonsense."""
    found = _ONE_RANGE.fullmatch(header.strip())
    if found is None:
        return None
    first, _, last = found[1].partition("-")
    if first and last and int(first) > int(last):
        return None
    return f"bytes={first and int(first)}-{last and int(last)}"


def has_tag(header: str, etag: str) -> bool:
    """Whether If-None-Match names this very file; what S3 stores never changes under one tag, so weak is as good."""
    return header.strip() == "*" or etag in _TAG.findall(header)


def _result_of(row: Row, parts: Parts) -> Result:
    if row.result is None:
        raise build_conflict(row, Code.RESULT_NOT_READY, NO_TRANSCRIPT, parts)
    return row.result


def _build_file(row: Row, result: Result, output: Format) -> File:
    """Kept by nobody but the caller, and asked about each time: an id may be transcribed again."""
    headers = {
        "Content-Type": MEDIA_TYPES[output],
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    return File(row.path, result.key_of(output), headers)


async def _answer(file: File, request: Request, parts: Parts) -> Response:
    is_get = request.method == "GET"
    seen = ", ".join(request.headers.getlist("if-none-match"))
    byte_range = parse_range(", ".join(request.headers.getlist("range"))) if is_get else None
    condition = request.headers.get("if-range") if byte_range else None
    if not is_get or seen or condition is not None:
        stored = await parts.uploads.head(file.key)
        if stored is None:
            raise _gone()
        if has_tag(seen, stored.etag):
            return _answer_unchanged(file, stored.etag)
        if not is_get:
            return Response(headers={**file.headers, "ETag": stored.etag, "Content-Length": str(stored.size_bytes)})
        byte_range = byte_range if condition in (None, stored.etag) else None
    return _stream(file, await _open(file, byte_range, parts))


async def _open(file: File, byte_range: str | None, parts: Parts) -> Download:
    try:
        found = await parts.uploads.open(file.key, byte_range)
    except RangeError as error:
        detail = "The file is shorter than the range: ask for less."
        problem = ProblemError(416, Code.RANGE_NOT_SATISFIABLE, detail)
        raise problem.with_headers(Content_Range=f"bytes */{error.size_bytes}") from error
    if found is None:
        raise _gone()
    return found


def _gone() -> ProblemError:
    return ProblemError(410, Code.RESULT_GONE, "The transcript has been deleted: send a new request for the video.")


def _answer_unchanged(file: File, etag: str) -> Response:
    kept = {name: text for name, text in file.headers.items() if name != "Content-Type"}
    return Response(status_code=304, headers={**kept, "ETag": etag})


def _stream(file: File, found: Download) -> Response:
    headers = {**file.headers, "ETag": found.etag, "Content-Length": str(found.size_bytes)}
    if found.content_range is None:
        return DownloadResponse(file, found, 200, headers)
    return DownloadResponse(file, found, 206, {**headers, "Content-Range": found.content_range})


class DownloadResponse(StreamingResponse):
    """Streams an object and closes it, whoever ends first."""

    def __init__(self, file: File, found: Download, status: int, headers: dict[str, str]) -> None:
        super().__init__(found.chunks, status, headers)
        self._file = file
        self._found = found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer that is left unfinished makes the server cut the connection, which the client sees."""
        try:
            await super().__call__(scope, receive, send)
        except UnavailableError as error:
            facts = {"transcription": self._file.path, "key": self._file.key, "cause": repr(error.__cause__)}
            logger.warning("transcript broke off", extra=facts)
        finally:
            await self._found.chunks.aclose()
