"""The paths under /api/upload-video. Thin: each handler parses, hands over and answers. Wired by app."""

import secrets
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from api.acts import act, cancel, delete, delete_with_outputs, redeliver, retry
from api.admit import AdmittedRoute, Called
from api.answers import JsonAnswer
from api.bodies import StrictRoute
from api.documents import PREFIX, render_status, word_of
from api.doors import UnavailableError
from api.errors import Code, ProblemError, job_not_found
from api.filenames import FilenameError, build_upload_key
from api.listing import ListQuery, list_page
from api.lookup import find_row
from api.quick import QuickRoute
from api.receive import receive
from api.row import Row
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
from api.submit import build_job_ids, submit
from api.transcripts import answer_result, answer_transcript
from api.watching import MAX_WAIT_SECONDS, answer_events, wait_for_news
from api.wiring import Parts, Wired
from crds.transcriptionjob import Format

ACCEPTED_MESSAGE = "비디오 처리가 시작되었습니다"
ENDED_MESSAGE = "이미 끝난 작업입니다"
IDEMPOTENCY_KEY = r"^[!-~]([ -~]{0,253}[!-~])?$"
RECEIVER_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": CallbackPayload.model_json_schema()}}}
}
NOTHING_MORE: dict[int | str, dict[str, Any]] = {
    204: {"description": "The job has ended, and Last-Event-ID is its last event."}
}
SUBMIT_PROBLEMS = problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)

quick = APIRouter(prefix=PREFIX, route_class=QuickRoute)
router = APIRouter(prefix=PREFIX, route_class=AdmittedRoute)
receiver = APIRouter(prefix=PREFIX, route_class=StrictRoute)


async def known_row(job_id: str, parts: Wired, caller: Called) -> Row:
    """The transcription that a path names."""
    return await find_row(job_id, parts, caller)


Known = Annotated[Row, Depends(known_row)]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for a change.")]


@router.post(
    "/generate-url", operation_id="generateUrl", responses=problems(400, 401, 403, 408, 413, 415, 422, 429, 503)
)
async def generate_url(asked: GenerateUrlRequest, parts: Wired, caller: Called) -> UploadTicket:
    """A URL to PUT one video or audio file to, with the same Content-Type."""
    try:
        key = build_upload_key(caller.tenant, asked.filename, parts.now(), secrets.token_hex(4))
    except FilenameError as error:
        raise ProblemError(422, Code.INVALID_FILENAME, str(error)) from error
    url = await parts.uploads.presign_put(key, asked.media_type)
    return UploadTicket(upload_url=url, video_url=build_video_url(key, parts.storage), url=url, fileKey=key)


@quick.post(
    "/request-process",
    status_code=202,
    operation_id="requestProcess",
    response_model=Accepted,
    responses=SUBMIT_PROBLEMS,
)
async def request_process(
    asked: RequestProcessRequest,
    parts: Wired,
    caller: Called,
    idempotency_key: Annotated[str | None, Header(pattern=IDEMPOTENCY_KEY)] = None,
) -> Response:
    """Start a transcription under an id that the server picks; the same Idempotency-Key means the same one."""
    if idempotency_key is None:
        return _accept(await submit(str(uuid.uuid4()), asked, parts, caller, known_as=()))
    ids = build_job_ids(idempotency_key, caller, parts.settings)
    return _accept(await submit(ids[0], asked, parts, caller, known_as=ids))


@quick.post(
    "/process-video",
    status_code=202,
    operation_id="processVideo",
    response_model=Accepted,
    responses=SUBMIT_PROBLEMS,
)
async def process_video(asked: ProcessVideoRequest, parts: Wired, caller: Called) -> Response:
    """Start a transcription under the client's id; the same again answers the same."""
    return _accept(await submit(asked.job_id, asked, parts, caller))


@quick.get(
    "/status/{job_id}",
    operation_id="getStatus",
    response_model=StatusDocument,
    responses=problems(401, 403, 404, 422, 429, 503),
)
async def get_status(job_id: str, parts: Wired, caller: Called, wait: Wait = 0) -> Response:
    """How far a transcription is; with `wait`, as soon as that has changed."""
    row = await find_row(job_id, parts, caller)
    seen = await wait_for_news(row, wait, parts) if wait else row
    if seen is None:
        raise job_not_found()
    return _show(seen, parts)


@router.get(
    "/jobs/{job_id}/events",
    operation_id="watchJob",
    response_class=Response,
    responses=NOTHING_MORE | problems(401, 403, 404, 429, 503),
)
async def watch_job(row: Known, parts: Wired, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    """Server-sent events: the status document now and after each change, until the job has ended."""
    return answer_events(row, last_event_id, parts)


@router.get("/jobs", operation_id="listJobs", response_model=JobList, responses=problems(401, 403, 422, 429, 503))
async def list_jobs(query: Annotated[ListQuery, Query()], parts: Wired, caller: Called) -> Response:
    """Transcriptions, newest first, a page at a time."""
    if not parts.store.is_synced:
        raise UnavailableError("the transcriptions have not been listed yet")
    rows, token = list_page(query, parts.store.rows, caller)
    jobs = [render_status(row, parts.store.rows).model_dump(mode="json", exclude_none=True) for row in rows]
    return JSONResponse({"jobs": jobs, "next_token": token})


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    operation_id="cancelJob",
    response_model=StatusDocument,
    responses=problems(401, 403, 404, 409, 429, 503),
)
async def cancel_job(job_id: str, parts: Wired, caller: Called) -> Response:
    """Stop a transcription; asking again is harmless until it has ended."""
    return _show(await act(job_id, parts, caller, cancel), parts, 202)


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    operation_id="retryJob",
    response_model=StatusDocument,
    responses=problems(401, 403, 404, 409, 429, 503),
)
async def retry_job(job_id: str, parts: Wired, caller: Called) -> Response:
    """Transcribe a failed one again."""
    return _show(await act(job_id, parts, caller, retry), parts, 202)


@router.post(
    "/jobs/{job_id}/callback/redeliver",
    status_code=202,
    operation_id="redeliverCallback",
    response_model=StatusDocument,
    responses=problems(401, 403, 404, 409, 429, 503),
)
async def redeliver_callback(job_id: str, parts: Wired, caller: Called) -> Response:
    """Send the callback of one that has ended again."""
    return _show(await act(job_id, parts, caller, redeliver), parts, 202)


@router.delete(
    "/jobs/{job_id}",
    status_code=204,
    operation_id="deleteJob",
    response_class=Response,
    responses=problems(401, 403, 404, 409, 422, 429, 503),
)
async def delete_job(job_id: str, parts: Wired, caller: Called, outputs: bool = False) -> Response:
    """Forget one that has ended; with `outputs`, its transcripts and received callbacks too."""
    await act(job_id, parts, caller, delete_with_outputs if outputs else delete)
    return Response(status_code=204)


@router.get(
    "/result/{job_id}",
    operation_id="getResult",
    response_class=Response,
    responses=problems(401, 403, 404, 409, 410, 416, 429, 503),
)
@router.api_route("/result/{job_id}", methods=["GET", "HEAD"], response_class=Response, include_in_schema=False)
async def get_result(row: Known, request: Request, parts: Wired) -> Response:
    """Whisper's own JSON, streamed from S3."""
    return await answer_result(row, request, parts)


@router.get(
    "/transcripts/{job_id}.{output}",
    operation_id="getTranscript",
    response_class=Response,
    responses=problems(401, 403, 404, 409, 410, 416, 422, 429, 503),
)
@router.api_route(
    "/transcripts/{job_id}.{output}", methods=["GET", "HEAD"], response_class=Response, include_in_schema=False
)
async def get_transcript(row: Known, output: Format, request: Request, parts: Wired) -> Response:
    """One format of the transcript as a file, streamed from S3."""
    return await answer_transcript(row, output, request, parts)


@receiver.post(
    "/result",
    operation_id="receiveResult",
    openapi_extra=RECEIVER_BODY,
    responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
)
async def receive_result(request: Request, parts: Wired) -> Received:
    """Take the worker's callback."""
    await receive(request, parts)
    return Received()


def _accept(row: Row) -> Response:
    status_url = f"{PREFIX}/status/{row.name}"
    word = word_of(row)
    message = ACCEPTED_MESSAGE if word == "processing" else ENDED_MESSAGE
    answer = {"job_id": row.name, "status": word, "message": message, "status_url": status_url}
    return JsonAnswer(to_json(answer), 202, status_url)


def _show(row: Row, parts: Parts, status_code: int = 200) -> Response:
    return JsonAnswer(parts.shown.show(row, parts.store.rows), status_code)
