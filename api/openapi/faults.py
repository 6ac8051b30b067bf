"""The error answers that all operations share in openapi.json: what each status means here. Data; used by openapi."""

from dataclasses import dataclass
from typing import Any

from api.errors import JOB_NOT_FOUND_MESSAGE, TITLES, Code

REF = "#/components/schemas/"

RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}, "example": 2}
}
CHALLENGE = {"WWW-Authenticate": {"description": "What is wanted.", "schema": {"type": "string"}, "example": "Bearer"}}
WHOLE_SIZE = {"Content-Range": {"description": "The size.", "schema": {"type": "string"}, "example": "bytes */2048"}}

JOB_PLACE = {
    "Location": {"description": "The path of the job's status.", "schema": {"type": "string"}},
    "X-Request-ID": {"description": "The job's id.", "schema": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What one status says, and an example of it."""

    text: str
    code: Code
    detail: str
    headers: dict[str, Any] | None = None


FAULTS: dict[int, Fault] = {
    400: Fault(
        "The request cannot be read: its head may be read in two ways or lacks Host, or its body is no JSON.",
        Code.INVALID_JSON,
        "The body is not valid JSON.",
    ),
    401: Fault(
        "Who is calling is not proven.",
        Code.UNAUTHORIZED,
        "Send a valid credential: Authorization: Bearer ..., or X-API-Key.",
        CHALLENGE,
    ),
    403: Fault("This credential is not meant for this.", Code.FORBIDDEN, "Use a credential that may do this."),
    404: Fault("Unknown, or not the caller's: both are answered alike.", Code.JOB_NOT_FOUND, JOB_NOT_FOUND_MESSAGE),
    408: Fault("The body came too slowly.", Code.REQUEST_TIMEOUT, "The body did not arrive in time: send it again."),
    409: Fault(
        "The job's state, or an earlier request, does not allow it; `job` is its status where there is one.",
        Code.JOB_CONFLICT,
        "This id is taken by another request: choose another id.",
    ),
    410: Fault(
        "It was there and is deleted.",
        Code.RESULT_GONE,
        "The transcript has been deleted: send a new request for the video.",
    ),
    413: Fault("Too large.", Code.BODY_TOO_LARGE, "The body is larger than 1048576 bytes: send a smaller one."),
    414: Fault("The path or the query is too long.", Code.BAD_REQUEST, "The query is too long: send a shorter one."),
    415: Fault(
        "Not the type of body that is read here.",
        Code.UNSUPPORTED_BODY,
        "Send JSON in UTF-8 with Content-Type: application/json.",
    ),
    416: Fault(
        "No such range.", Code.RANGE_NOT_SATISFIABLE, "The file is shorter than the range: ask for less.", WHOLE_SIZE
    ),
    422: Fault(
        "Well-formed, but not what is asked for; `errors` names the fields.",
        Code.VALIDATION_FAILED,
        "Correct the request and send it again. language: send a language that Whisper knows, such as ko, or auto",
    ),
    429: Fault(
        "Too many requests of this caller, or too many unfinished jobs.",
        Code.RATE_LIMITED,
        "Too many requests: wait as long as Retry-After says, and send it again.",
        RETRY_AFTER,
    ),
    431: Fault(
        "The headers are too large.", Code.BAD_REQUEST, "The headers are too large: send fewer and shorter ones."
    ),
    500: Fault(
        "A fault of the service.", Code.INTERNAL_ERROR, "The service failed for a reason of its own: see its log."
    ),
    503: Fault(
        "A system that the service needs is down, or very many requests are open.",
        Code.UNAVAILABLE,
        "A system that this service needs does not answer: send the same request again in a moment.",
        RETRY_AFTER,
    ),
    504: Fault(
        "The job goes on, but takes longer than this answer waits.",
        Code.TIMED_OUT,
        "The job goes on: look at its status, at the path that Location names.",
        JOB_PLACE,
    ),
}

ENVELOPE: dict[str, Any] = {
    "title": "OpenAIError",
    "description": "How OpenAI's clients read an error.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "description": "That of a problem, or why the job failed."},
                "job_url": {"type": "string", "description": "The path of the job's status, when there is a job."},
            },
        }
    },
}


def name_of(status: int, *, is_openai: bool) -> str:
    """Its name among the shared answers."""
    name = TITLES[status].title().replace(" ", "").replace("-", "")
    return f"OpenAI{name}" if is_openai else name


def build_answer(status: int, *, is_openai: bool) -> dict[str, Any]:
    """The shared answer of one status; clients of /v1 read OpenAI's envelope."""
    fault = FAULTS[status]
    kind = "application/json" if is_openai else "application/problem+json"
    schema = {"$ref": f"{REF}{'OpenAIError' if is_openai else 'Problem'}"}
    example = _build_envelope(status, fault) if is_openai else _build_problem(status, fault)
    answer = {"description": fault.text, "content": {kind: {"schema": schema, "example": example}}}
    return answer | {"headers": fault.headers} if fault.headers else answer


def _build_problem(status: int, fault: Fault) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "code": fault.code,
        "detail": fault.detail,
        "message": fault.detail,
    }


def _build_envelope(status: int, fault: Fault) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": fault.detail, "type": kind, "param": None, "code": fault.code}}
