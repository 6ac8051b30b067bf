"""From a row to the status document that clients read. Pure; called by routes."""

from api.rows import Row
from api.schemas import FailureDocument, StageWord, StatusDocument, Word
from crds.reasons import REASONS, Reason
from crds.transcriptionjob import Stage, State

WORDS: dict[State, Word] = {State.SUCCEEDED: "completed", State.FAILED: "failed", State.CANCELLED: "cancelled"}
STAGES: dict[Stage, StageWord] = {
    Stage.STARTING: "starting",
    Stage.DOWNLOADING: "downloading",
    Stage.LOADING_MODEL: "loading model",
    Stage.TRANSCRIBING: "transcribing",
    Stage.SAVING: "saving",
    Stage.DELIVERING: "delivering",
}


def word_of(row: Row) -> Word:
    """The journey's word for where it stands."""
    return WORDS.get(row.state, "processing")


def render_status(row: Row) -> StatusDocument:
    """What GET status answers."""
    progress = row.progress
    return StatusDocument(
        job_id=row.name,
        status=word_of(row),
        progress=_percent(row),
        state=row.state,
        stage=_stage(row),
        message=row.message,
        audio_seconds_done=progress and progress.processed_seconds,
        audio_seconds_total=progress and progress.total_seconds,
        eta_seconds=None if progress is None or row.state.is_final else progress.eta_seconds,
        attempt=row.attempt,
        created_at=row.created,
        started_at=row.started,
        completed_at=row.completed,
        error=_error(row),
    )


def _percent(row: Row) -> int:
    if row.state is State.SUCCEEDED:
        return 100
    percent = (row.progress and row.progress.percent) or 0
    return percent if row.result else min(percent, 99)


def _stage(row: Row) -> StageWord | None:
    if row.state.is_final:
        return None
    progress = row.progress
    if progress is not None and progress.stage is not None and progress.attempt >= row.attempt:
        return STAGES[progress.stage]
    return "starting" if row.state in (State.STARTING, State.RUNNING) else "queued"


def _error(row: Row) -> FailureDocument | None:
    if row.state not in (State.FAILED, State.CANCELLED):
        return None
    if row.failure is not None:
        return FailureDocument(code=row.failure.reason, message=row.failure.message, retryable=row.failure.retryable)
    reason = Reason.CANCELLED if row.state is State.CANCELLED else Reason.WORKER_FAILED
    return FailureDocument(code=reason, message=REASONS[reason].message, retryable=REASONS[reason].retryable)
