"""From a row to the status document that clients read. Pure; called by routes and the steps behind them."""

from api.row import CallbackRecord, Progress, Result, Row
from api.rows import Rows
from api.schemas import CallbackDocument, FailureDocument, QueueDocument, StageWord, StatusDocument, Word
from crds.reasons import REASONS, Reason, WaitingReason
from crds.transcriptionjob import FORMATS, CallbackState, Format, Stage, State

PREFIX = "/api/upload-video"
WAITING_STATES = frozenset({State.PENDING, State.QUEUED, State.SUSPENDED})
"""Others may wait too, for a node or an image: those have a reason."""

RESTING = frozenset({WaitingReason.SUSPENDED, WaitingReason.JOB_SUSPENDED})
"""Its worker was stopped: what that told is how far it came, and no longer what it does."""

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


def render_status(row: Row, rows: Rows) -> StatusDocument:
    """What GET status answers; its place in line is seen among `rows`."""
    progress = _progress(row)
    live = None if row.state.is_final or row.waiting_reason in RESTING else progress
    return StatusDocument(
        job_id=row.name,
        status=word_of(row),
        progress=_percent(row, progress),
        state=row.state,
        stage=_stage(row, live),
        message=row.message,
        audio_seconds_done=progress and progress.processed_seconds,
        audio_seconds_total=progress and progress.total_seconds,
        eta_seconds=live and live.eta_seconds,
        realtime_factor=progress and progress.realtime_factor,
        note=progress and progress.note,
        attempt=row.attempt,
        queue=_queue(row, live, rows),
        created_at=row.created,
        started_at=row.started,
        completed_at=row.completed,
        error=_error(row),
        outputs=row.result and _outputs(row.name, row.result),
        callback=row.callback and _callback(row.callback),
        model=row.model,
        metadata=row.metadata,
    )


def _progress(row: Row) -> Progress | None:
    """What the worker of this attempt has told; an earlier one's says nothing about this run."""
    return row.progress if row.progress is not None and row.progress.attempt >= row.attempt else None


def _percent(row: Row, progress: Progress | None) -> int:
    if row.state is State.SUCCEEDED:
        return 100
    percent = (progress and progress.percent) or 0
    return percent if row.result else min(percent, 99)


def _stage(row: Row, progress: Progress | None) -> StageWord | None:
    if row.state.is_final:
        return None
    if progress is not None and progress.stage is not None:
        return STAGES[progress.stage]
    return "queued" if _is_waiting(row) else "starting"


def _is_waiting(row: Row) -> bool:
    return row.state in WAITING_STATES or (row.waiting_reason is not None and not row.state.is_final)


def _error(row: Row) -> FailureDocument | None:
    if row.state not in (State.FAILED, State.CANCELLED):
        return None
    if row.failure is not None:
        return FailureDocument(code=row.failure.reason, message=row.failure.message, retryable=row.failure.retryable)
    reason = Reason.CANCELLED if row.state is State.CANCELLED else Reason.WORKER_FAILED
    return FailureDocument(code=reason, message=REASONS[reason].message, retryable=REASONS[reason].retryable)


def _queue(row: Row, progress: Progress | None, rows: Rows) -> QueueDocument | None:
    """None as soon as a worker has reported, whatever the controller has seen by then."""
    if progress is not None or not _is_waiting(row):
        return None
    return QueueDocument(reason=row.waiting_reason, message=row.message, position=rows.place_of(row))


def _outputs(name: str, result: Result) -> dict[Format, str]:
    """The JSON is always there."""
    made = {"json", *result.formats}
    return {output: f"{PREFIX}/transcripts/{name}.{output}" for output in FORMATS if output in made}


def _callback(record: CallbackRecord) -> CallbackDocument:
    return CallbackDocument(
        state=record.state,
        attempts=record.attempts,
        last_status_code=record.last_status_code,
        last_attempt_at=record.last_attempt_time,
        next_attempt_at=record.next_attempt_time if record.state is CallbackState.PENDING else None,
    )
