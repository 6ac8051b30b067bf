"""What callers may do to a transcription that is there: cancel, retry, redeliver, delete. Called by routes.

Each looks past the cache before it decides, and decides anew when the transcription changes in between.
"""

from collections.abc import Awaitable, Callable

from api.auth import Caller
from api.doors import ConflictError
from api.errors import Code
from api.lookup import build_conflict, find_row
from api.receive import build_callback_prefix
from api.row import Row
from api.wiring import Parts
from crds.transcriptionjob import State
from crds.worker import build_outputs_prefix

TRIES = 5

Act = Callable[[Row, Parts], Awaitable[Row | None]]


async def act(job_id: str, parts: Parts, caller: Caller, do: Act) -> Row:
    """The row after the act; the journey's 404 when it is gone, ConflictError when it never stands still."""
    for _ in range(TRIES):
        row = await find_row(job_id, parts, caller, is_fresh=True)
        try:
            return await do(row, parts) or await find_row(job_id, parts, caller, is_fresh=True)
        except ConflictError:
            continue
    raise ConflictError


async def cancel(row: Row, parts: Parts) -> Row | None:
    """Ask the controller to stop it; asking again is harmless until it has ended."""
    if row.state.is_final:
        raise build_conflict(row, Code.ALREADY_FINAL, "The job has ended already: there is nothing to cancel.", parts)
    return row if row.cancel else await parts.store.cancel(row.name)


async def retry(row: Row, parts: Parts) -> Row | None:
    """Ask the controller for another attempt at a failed one."""
    if row.state is not State.FAILED:
        raise build_conflict(row, Code.JOB_NOT_FAILED, "Only a failed job can be retried: see its status.", parts)
    if row.cancel:
        detail = "The job was cancelled while it waited for a retry, and that is for good: send a new request."
        raise build_conflict(row, Code.JOB_NOT_FAILED, detail, parts)
    return await parts.store.retry(row)


async def redeliver(row: Row, parts: Parts) -> Row | None:
    """Ask the controller to send the callback again."""
    if not row.state.is_final:
        detail = "The job has not ended: its callback is sent when it has."
        raise build_conflict(row, Code.JOB_NOT_ENDED, detail, parts)
    if row.callback is None:
        detail = "The job has no callback: send callback_url with the next request."
        raise build_conflict(row, Code.NO_CALLBACK, detail, parts)
    return await parts.store.redeliver(row)


async def delete(row: Row, parts: Parts) -> Row | None:
    """Delete the transcription, with its Job and pods; the files stay."""
    if not row.state.is_final:
        detail = "The job has not ended: cancel it, and delete it when its status is cancelled."
        raise build_conflict(row, Code.JOB_NOT_ENDED, detail, parts)
    await parts.store.delete(row)
    return row


async def delete_with_outputs(row: Row, parts: Parts) -> Row | None:
    """Delete the files first: when that fails, the job is still there to delete again."""
    if row.state.is_final:
        await parts.uploads.delete_all(build_outputs_prefix(row.namespace, row.name, row.uid))
        await parts.uploads.delete_all(build_callback_prefix(row))
    return await delete(row, parts)
