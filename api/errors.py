"""Every answer but the good ones: RFC 9457 problem+json with a stable code. Wired by app; raised by the steps."""

import logging
import re
from enum import StrEnum
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from api.doors import ConflictError, RefusedError, UnavailableError

JOB_NOT_FOUND_MESSAGE = "해당 작업을 찾을 수 없습니다"
OPENAI_PREFIX = "/v1/"
RETRY_SECONDS = 2

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
"""The names of RFC 9110 for every status that is answered; Python's own change with its release."""

ANSWERED = (StarletteHTTPException, RequestValidationError, UnavailableError, RefusedError, ConflictError)

logger = logging.getLogger(__name__)

_FIELD = re.compile(r"[a-z_-]{1,32}")


class Code(StrEnum):
    """What went wrong, as machines read it; stable for ever."""

    ALREADY_FINAL = "already_final"
    BAD_REQUEST = "bad_request"
    BODY_TOO_LARGE = "body_too_large"
    FORBIDDEN = "forbidden"
    FORMAT_NOT_MADE = "format_not_made"
    INTERNAL_ERROR = "internal_error"
    INVALID_FILENAME = "invalid_filename"
    INVALID_JSON = "invalid_json"
    INVALID_SIGNATURE = "invalid_signature"
    INVALID_VIDEO_URL = "invalid_video_url"
    JOB_CONFLICT = "job_conflict"
    JOB_NOT_FOUND = "job_not_found"
    JOB_NOT_ENDED = "job_not_ended"
    JOB_NOT_FAILED = "job_not_failed"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"
    NO_CALLBACK = "no_callback"
    OBJECT_NOT_FOUND = "object_not_found"
    OBJECT_SIZE = "object_size"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    REQUEST_TIMEOUT = "request_timeout"
    RESULT_CONFLICT = "result_conflict"
    RESULT_GONE = "result_gone"
    RESULT_NOT_READY = "result_not_ready"
    TIMED_OUT = "timed_out"
    TOO_MANY_JOBS = "too_many_jobs"
    TRANSCRIPTION_FAILED = "transcription_failed"
    UNAUTHORIZED = "unauthorized"
    UNAVAILABLE = "unavailable"
    UNSUPPORTED_BODY = "unsupported_body"
    VALIDATION_FAILED = "validation_failed"


class ProblemError(HTTPException):
    """An answer that is no success. A kind of HTTPException, so that FastAPI lets it pass while it reads a body."""

    def __init__(self, status: int, code: Code, detail: str, members: dict[str, Any] | None = None) -> None:
        super().__init__(status, detail)
        self.code = code
        self.members = members or {}

    def and_close(self) -> Self:
        """The same, and the connection ends: what the client still sends is not worth reading."""
        return self.with_headers(Connection="close")

    def with_headers(self, **headers: str) -> Self:
        """The same with more headers; an underscore stands for a hyphen."""
        self.headers = {**(self.headers or {}), **{name.replace("_", "-"): text for name, text in headers.items()}}
        return self


def job_not_found() -> ProblemError:
    """The one answer for ids that are unknown, impossible or somebody else's."""
    return ProblemError(404, Code.JOB_NOT_FOUND, JOB_NOT_FOUND_MESSAGE)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""
    for kind in ANSWERED:
        app.add_exception_handler(kind, answer_error)


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to one of the errors that are ANSWERED."""
    return render_problem(_find_problem(error), request.url.path)


def render_problem(problem: ProblemError, path: str) -> JSONResponse:
    """The answer itself; clients of /v1 read OpenAI's envelope."""
    if path.startswith(OPENAI_PREFIX):
        return _render_envelope(problem)
    body = {
        "type": "about:blank",
        "title": TITLES[problem.status_code],
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.detail,
        "message": problem.detail,
        **problem.members,
    }
    return JSONResponse(body, problem.status_code, problem.headers, media_type="application/problem+json")


def _render_envelope(problem: ProblemError) -> JSONResponse:
    status = 400 if problem.status_code == 422 else problem.status_code
    kind = "server_error" if status >= 500 else "invalid_request_error"
    fault = {"message": problem.detail, "type": kind, "param": None, "code": problem.code}
    return JSONResponse({"error": fault | problem.members}, status, problem.headers)


def _find_problem(error: Exception) -> ProblemError:
    match error:
        case ProblemError():
            return error
        case StarletteHTTPException():
            return _translate(error)
        case RequestValidationError():
            return _refuse(error)
        case UnavailableError():
            logger.warning("dependency unavailable", extra={"error": str(error), "cause": repr(error.__cause__)})
            detail = "A system that this service needs does not answer: send the same request again in a moment."
            return ProblemError(503, Code.UNAVAILABLE, detail).with_headers(Retry_After=str(RETRY_SECONDS))
        case RefusedError():
            logger.warning("transcription refused", extra={"error": str(error)})
            detail = "The cluster does not accept a transcription with these options: change them and send it again."
            return ProblemError(422, Code.REFUSED, detail)
        case ConflictError():
            detail = "The job changes at this moment: look at its status and send the request again if it still fits."
            return ProblemError(409, Code.JOB_CONFLICT, detail)
    raise error


def _translate(error: StarletteHTTPException) -> ProblemError:
    codes = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}
    details = {404: "There is no such path: see /openapi.json.", 405: "The path does not take this method: see Allow."}
    code = codes.get(error.status_code, Code.BAD_REQUEST)
    detail = details.get(error.status_code, "The request cannot be read: see /openapi.json.")
    return ProblemError(error.status_code, code, detail).with_headers(**dict(error.headers or {}))


def _refuse(error: RequestValidationError) -> ProblemError:
    faults = [_describe(fault) for fault in error.errors()[:10]]
    sentence = "; ".join(
        f"{fault['field']}: {fault['message']}" if fault["field"] else fault["message"] for fault in faults
    )
    detail = f"Correct the request and send it again. {sentence}"
    return ProblemError(422, Code.VALIDATION_FAILED, detail, {"errors": faults})


def _describe(fault: dict[str, Any]) -> dict[str, str]:
    """A fault without anything that the caller sent: neither values nor unknown names."""
    place = fault["loc"][1:2]
    named = place and isinstance(place[0], str) and fault["type"] != "extra_forbidden" and _FIELD.fullmatch(place[0])
    message = "A field is unknown" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return {"field": place[0] if named else "", "message": message}
