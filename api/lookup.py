"""From an id in a path or payload to the row, for those who may see it. Called by routes and the steps behind them."""

import re

from api.auth import Caller
from api.documents import render_status
from api.errors import Code, ProblemError, job_not_found
from api.row import Row
from api.wiring import Parts
from crds.transcriptionjob import NAME_PATTERN

IMPOSSIBLE = "-"
"""No name consists of it, yet the API server looks for such a one as for any other."""


async def find_row(job_id: str, parts: Parts, caller: Caller, *, is_fresh: bool = False) -> Row:
    """The row of an id; the journey's 404 when it is unknown, impossible, being deleted or somebody else's."""
    name = hide_foreign(job_id, parts, caller)
    if name != job_id:
        await parts.store.read(name)
        raise job_not_found()
    row = await find_any_row(job_id, parts, is_fresh=is_fresh)
    if not caller.may_see(row):
        raise job_not_found()
    return row


def hide_foreign(job_id: str, parts: Parts, caller: Caller) -> str:
    """The name to ask the API server for: somebody else's gives way to one as long that cannot exist.

    So it costs the very look that an unknown one costs, and the time tells nothing either.
    """
    row = parts.store.rows.get(job_id)
    return job_id if row is None or caller.may_see(row) else IMPOSSIBLE * len(job_id)


async def find_any_row(job_id: str, parts: Parts, *, is_fresh: bool = False) -> Row:
    """The row of an id, whoever it belongs to; the journey's 404 when there is none."""
    look = parts.store.read if is_fresh else parts.store.get
    row = await look(job_id) if re.fullmatch(NAME_PATTERN, job_id) else None
    if row is None or row.is_deleting:
        raise job_not_found()
    return row


def build_conflict(row: Row, code: Code, detail: str, parts: Parts) -> ProblemError:
    """A 409 that shows how the job stands."""
    job = render_status(row, parts.store.rows).model_dump(mode="json", exclude_none=True)
    return ProblemError(409, code, detail, {"job": job})
