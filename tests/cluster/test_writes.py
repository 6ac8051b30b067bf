"""What a transcription costs the API server, counted by itself."""

from tests.support.audit import Write, read_writes
from tests.support.transcriptions import Run

LIMIT = 8
CONFLICT = 409
"""A guarded write that another one overtook: nothing was written, and it is decided anew."""
OURS = {"transcription:transcription-controller", "transcription:transcription-worker"}


def is_progress_alone(write: Write) -> bool:
    return set(write.body.get("status", {})) == {"progress"}


def test_a_job_costs_at_most_eight_writes_beside_progress(good_run: Run) -> None:
    writes = read_writes(good_run.transcriptions.kubectl, "transcription", good_run.name)
    ours = [write for write in writes if write.user in OURS]
    progress = [write for write in ours if is_progress_alone(write)]
    written = [write for write in ours if write not in progress and write.code != CONFLICT]
    counted = [f"{w.user.rpartition('-')[2]}: {w.verb} {w.resource} {w.code}" for w in written]
    assert progress, "no progress was written, or the audit log is not that of this run"
    assert {write.user for write in ours} == OURS
    assert all(write.code < 300 for write in written), counted
    assert len(counted) <= LIMIT, counted
