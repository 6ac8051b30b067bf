"""Every answer but the good ones: RFC 9457 problem+json with a stable code. Wired by app; raised by the steps."""

import logging
import re
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from api.doors import RefusedError, UnavailableError

JOB_NOT_FOUND_MESSAGE = "해당 작업을 찾을 수 없습니다"
RETRY_SECONDS = 2

logger = logging.getLogger(__name__)

_FIELD = re.compile(r"[a-z_]{1,32}")


class Code(StrEnum):
    """What went wrong, as machines read it; stable for ever."""

    ALREADY_FINAL = "already_final"
    BAD_REQUEST = "bad_request"
    BODY_TOO_LARGE = "body_too_large"
    INTERNAL_ERROR = "internal_error"
    INVALID_FILENAME = "invalid_filename"
    INVALID_JSON = "invalid_json"
    INVALID_SIGNATURE = "invalid_signature"
    INVALID_VIDEO_URL = "invalid_video_url"
    JOB_CONFLICT = "job_conflict"
    JOB_NOT_FOUND = "job_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_FOUND = "not_found"
    OBJECT_NOT_FOUND = "object_not_found"
    OBJECT_SIZE = "object_size"
    REFUSED = "refused"
    REQUEST_TIMEOUT = "request_timeout"
    RESULT_CONFLICT = "result_conflict"
    RESULT_GONE = "result_gone"
    RESULT_NOT_READY = "result_not_ready"
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
        self.headers = {"Connection": "close"}
        return self


def job_not_found() -> ProblemError:
    """The one answer for ids that are unknown, impossible or somebody else's."""
    return ProblemError(404, Code.JOB_NOT_FOUND, JOB_NOT_FOUND_MESSAGE)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""
    app.add_exception_handler(StarletteHTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(UnavailableError, _answer_unavailable)
    app.add_exception_handler(RefusedError, _answer_refused)


def render_problem(
    status: int, code: Code, detail: str, members: dict[str, Any] | None = None, headers: Any = None
) -> JSONResponse:
    """The answer itself."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "message": detail,
        **(members or {}),
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _answer_http(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ProblemError):
        return render_problem(error.status_code, error.code, str(error.detail), error.members, error.headers)
    if not isinstance(error, StarletteHTTPException):
        raise error
    codes = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}
    details = {404: "There is no such path: see /openapi.json.", 405: "The path does not take this method: see Allow."}
    code = codes.get(error.status_code, Code.BAD_REQUEST)
    detail = details.get(error.status_code, "The request cannot be read: see /openapi.json.")
    return render_problem(error.status_code, code, detail, None, error.headers)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [_describe(fault) for fault in error.errors()[:10]]
    sentence = "; ".join(
        f"{fault['field']}: {fault['message']}" if fault["field"] else fault["message"] for fault in faults
    )
    return render_problem(
        422, Code.VALIDATION_FAILED, f"Correct the request and send it again. {sentence}", {"errors": faults}
    )


def _describe(fault: dict[str, Any]) -> dict[str, str]:
    """A fault without anything that the caller sent: neither values nor unknown names."""
    place = fault["loc"][1:2]
    named = place and isinstance(place[0], str) and fault["type"] != "extra_forbidden" and _FIELD.fullmatch(place[0])
    message = "A field is unknown" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return {"field": place[0] if named else "", "message": message}


async def _answer_unavailable(_: Request, error: Exception) -> JSONResponse:
    logger.warning("dependency unavailable", extra={"error": str(error), "cause": repr(error.__cause__)})
    detail = "A system that this service needs does not answer: send the same request again in a moment."
    return render_problem(503, Code.UNAVAILABLE, detail, None, {"Retry-After": str(RETRY_SECONDS)})


async def _answer_refused(_: Request, error: Exception) -> JSONResponse:
    logger.warning("transcription refused", extra={"error": str(error)})
    detail = "The cluster does not accept a transcription with these options: change them and send it again."
    return render_problem(422, Code.REFUSED, detail)
