"""Errors of a job that is already made, for OpenAI's clients: each names the job. Pure; called by audio.

Their retries would upload and transcribe the file once more; x-should-retry tells them whether to.
"""

from typing import Any

from api.documents import PREFIX, render_status
from api.errors import Code, ProblemError
from api.openai.models import model_not_found
from api.row import Row
from api.rows import Rows
from crds.reasons import Reason

STATUSES: dict[str, int] = {
    Reason.EMPTY_INPUT: 400,
    Reason.UNREADABLE_MEDIA: 400,
    Reason.UNSUPPORTED_MEDIA: 400,
    Reason.NO_AUDIO: 400,
    Reason.TOO_LONG: 400,
    Reason.INPUT_NOT_FOUND: 400,
    Reason.INPUT_CHANGED: 400,
    Reason.INVALID_TASK: 400,
    Reason.CANCELLED: 409,
}
"""What another file or other options would not have met; all else is the service's fault."""


def refer(row: Row, status: int, code: Code, detail: str, members: dict[str, Any] | None = None) -> ProblemError:
    """A problem that names the job, and keeps the client from sending the file again."""
    url = status_url(row)
    problem = ProblemError(status, code, detail, {"job_url": url, **(members or {})})
    return problem.with_headers(Location=url, X_Request_ID=row.name, x_should_retry="false")


def refer_failure(row: Row, rows: Rows) -> ProblemError:
    """Why a job ended without a transcript; its reason is the code."""
    error = render_status(row, rows).error
    if error is None:
        return refer(row, 500, Code.TRANSCRIPTION_FAILED, "The job ended without a transcript: send the file again.")
    if error.code == Reason.MODEL_UNKNOWN:
        unknown = model_not_found()
        return refer(row, unknown.status_code, unknown.code, unknown.detail, unknown.members)
    status = STATUSES.get(error.code, 500)
    problem = refer(row, status, Code.TRANSCRIPTION_FAILED, error.message, {"code": error.code})
    return problem.with_headers(x_should_retry="true") if status == 500 and error.retryable else problem


def status_url(row: Row) -> str:
    """Where the journey's clients look at the job."""
    return f"{PREFIX}/status/{row.name}"
