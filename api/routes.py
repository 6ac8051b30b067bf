"""The journey under /api/upload-video. Thin: each handler parses, hands over and answers. Wired by app."""

import secrets
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from api.bodies import StrictRoute
from api.documents import render_status, word_of
from api.doors import UnavailableError
from api.errors import Code, ProblemError
from api.filenames import FilenameError, build_upload_key
from api.receive import find_row, receive
from api.rows import Row
from api.schemas import (
    Accepted,
    CallbackPayload,
    GenerateUrlRequest,
    JobList,
    ProcessVideoRequest,
    Received,
    RequestProcessRequest,
    StatusDocument,
    UploadTicket,
    problems,
)
from api.sources import build_video_url
from api.submit import submit
from api.wiring import Wired

PREFIX = "/api/upload-video"
USER = "anonymous"
ACCEPTED_MESSAGE = "비디오 처리가 시작되었습니다"
RECEIVER_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": CallbackPayload.model_json_schema()}}}
}

router = APIRouter(prefix=PREFIX, route_class=StrictRoute)


async def known_row(job_id: str, parts: Wired) -> Row:
    """The transcription that a path names."""
    return await find_row(job_id, parts)


Known = Annotated[Row, Depends(known_row)]


@router.post("/generate-url", operation_id="generateUrl", responses=problems(400, 413, 415, 422, 503))
async def generate_url(asked: GenerateUrlRequest, parts: Wired) -> UploadTicket:
    """A URL to PUT one video or audio file to, with the same Content-Type."""
    try:
        key = build_upload_key(USER, asked.filename, parts.now(), secrets.token_hex(4))
    except FilenameError as error:
        raise ProblemError(422, Code.INVALID_FILENAME, str(error)) from error
    url = await parts.uploads.presign_put(key, asked.media_type)
    return UploadTicket(upload_url=url, video_url=build_video_url(key, parts.storage), url=url, fileKey=key)


@router.post(
    "/request-process", status_code=202, operation_id="requestProcess", responses=problems(400, 404, 413, 415, 422, 503)
)
async def request_process(asked: RequestProcessRequest, parts: Wired, response: Response) -> Accepted:
    """Start a transcription under an id that the server picks."""
    row = await submit(str(uuid.uuid4()), asked, parts, is_new=True)
    return _accept(row, response)


@router.post(
    "/process-video",
    status_code=202,
    operation_id="processVideo",
    responses=problems(400, 404, 409, 413, 415, 422, 503),
)
async def process_video(asked: ProcessVideoRequest, parts: Wired, response: Response) -> Accepted:
    """Start a transcription under the client's id; the same again answers the same."""
    row = await submit(asked.job_id, asked, parts, is_new=False)
    return _accept(row, response)


@router.get(
    "/status/{job_id}", operation_id="getStatus", response_model_exclude_none=True, responses=problems(404, 503)
)
async def get_status(row: Known) -> StatusDocument:
    """How far a transcription is."""
    return render_status(row)


@router.get("/jobs", operation_id="listJobs", response_model=JobList, responses=problems(503))
async def list_jobs(parts: Wired) -> JSONResponse:
    """All transcriptions, newest first."""
    if not parts.store.is_synced:
        raise UnavailableError("the transcriptions have not been listed yet")
    rows = (row for row in parts.store.list() if not row.is_deleting)
    jobs = [render_status(row).model_dump(mode="json", exclude_none=True) for row in rows]
    return JSONResponse({"jobs": jobs, "next_token": None})


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    operation_id="cancelJob",
    response_model_exclude_none=True,
    responses=problems(404, 409, 503),
)
async def cancel_job(row: Known, parts: Wired) -> StatusDocument:
    """Stop a transcription; asking again is harmless until it has ended."""
    if row.state.is_final:
        raise _conflict(row, Code.ALREADY_FINAL, "The job has ended already: there is nothing to cancel.")
    cancelled = row if row.cancel else await parts.store.cancel(row.name)
    return render_status(cancelled or await find_row(row.name, parts))


@router.get("/result/{job_id}", operation_id="getResult", responses=problems(404, 409, 410, 503))
async def get_result(row: Known, parts: Wired) -> Response:
    """Whisper's own JSON, streamed from S3."""
    if row.result is None:
        raise _conflict(row, Code.RESULT_NOT_READY, "There is no transcript: see the job's status.")
    found = await parts.uploads.open(row.result.key)
    if found is None:
        raise ProblemError(410, Code.RESULT_GONE, "The transcript has been deleted: send a new request for the video.")
    headers = {"Content-Length": str(found.size_bytes), "ETag": found.etag}
    return StreamingResponse(found.chunks, headers=headers, media_type="application/json")


@router.post(
    "/result",
    operation_id="receiveResult",
    openapi_extra=RECEIVER_BODY,
    responses=problems(400, 401, 404, 409, 413, 415, 422, 503),
)
async def receive_result(request: Request, parts: Wired) -> Received:
    """Take the worker's callback."""
    await receive(request, parts)
    return Received()


def _accept(row: Row, response: Response) -> Accepted:
    status_url = f"{PREFIX}/status/{row.name}"
    response.headers["Location"] = status_url
    return Accepted(job_id=row.name, status=word_of(row), message=ACCEPTED_MESSAGE, status_url=status_url)


def _conflict(row: Row, code: Code, detail: str) -> ProblemError:
    job = render_status(row).model_dump(mode="json", exclude_none=True)
    return ProblemError(409, code, detail, {"job": job})
