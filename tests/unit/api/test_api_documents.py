"""What a status document says of a job whose worker was stopped before its end."""

from typing import Any

import pytest

from api.documents import render_status
from api.rows import Rows
from crds.reasons import WaitingReason
from tests.support.api_fakes import a_row

PROGRESS = {
    "podUID": "pod",
    "attempt": 1,
    "percent": 40,
    "stage": "Transcribing",
    "processedSeconds": 12,
    "etaSeconds": 9,
}


def a_document(**status: Any) -> dict[str, Any]:
    row = a_row("monday", 1, {"attempt": 1, "progress": PROGRESS, "message": "It waits."} | status)
    return render_status(row, Rows([row])).model_dump(mode="json")


@pytest.mark.parametrize(
    ("state", "reason"), [("Suspended", WaitingReason.SUSPENDED), ("Queued", WaitingReason.JOB_SUSPENDED)]
)
def test_it_waits_when_its_worker_was_stopped(state: str, reason: WaitingReason) -> None:
    shown = a_document(state=state, waitingReason=reason)
    assert (shown["status"], shown["state"], shown["stage"]) == ("processing", state, "queued")
    assert shown["queue"]["reason"] == reason
    assert (shown["progress"], shown["audio_seconds_done"], shown["eta_seconds"]) == (40, 12, None)


def test_it_is_at_work_when_the_controller_has_not_seen_its_pod_yet() -> None:
    shown = a_document(state="Starting", waitingReason="Starting")
    assert (shown["stage"], shown["queue"]) == ("transcribing", None)


def test_a_suspended_one_has_no_place_in_line() -> None:
    assert a_document(state="Suspended", waitingReason="Suspended")["queue"]["position"] is None
