"""The map of rows, and the status document made of one."""

import sys

import pytest

from api.documents import render_status
from api.rows import Rows, parse_row
from crds.transcriptionjob import Stage, State
from tests.support.api_fakes import a_manifest, a_result, a_row


def test_an_answered_write_is_seen_at_once_but_never_undoes_the_watch() -> None:
    rows = Rows([a_row("a", 5)], version=10)
    rows.put(a_row("a", 9, {"state": "Running"}))
    assert rows.get("a") == a_row("a", 5)
    rows.put(a_row("a", 11, {"state": "Running"}))
    assert rows.get("a") == a_row("a", 11, {"state": "Running"})


def test_a_late_answer_does_not_revive_what_the_watch_saw_deleted() -> None:
    rows = Rows([a_row("a", 5)], version=10)
    rows.forget("a", 12)
    rows.put(a_row("a", 11))
    assert rows.get("a") is None


def test_a_late_event_does_not_undo_an_answered_write() -> None:
    rows = Rows([a_row("a", 5)], version=10)
    rows.put(a_row("a", 15, {"state": "Running"}))
    rows.see(a_row("a", 12))
    rows.forget("a", 13)
    assert rows.get("a") == a_row("a", 15, {"state": "Running"})
    assert rows.version == 13
    rows.forget("a", 16)
    assert rows.get("a") is None


def test_a_new_list_keeps_only_what_was_written_after_it() -> None:
    rows = Rows([a_row("gone", 5)], version=10)
    rows.put(a_row("written", 21))
    fresh = rows.replaced_by([a_row("listed", 15)], 20)
    assert [row.name for row in fresh.newest_first()] == ["written", "listed"]
    assert fresh.version == 20


def test_a_row_is_small() -> None:
    progress = {"podUID": "p" * 36, "attempt": 1, "percent": 1, "stage": "Starting", "totalSeconds": 1.0}
    row = parse_row(a_manifest("a", 1, {"state": "Running", "progress": progress}))
    assert row.progress is not None
    assert sys.getsizeof(row) + sys.getsizeof(vars(row.progress)) < 1024


@pytest.mark.parametrize("state", State)
def test_progress_is_a_number_in_every_state(state: State) -> None:
    document = render_status(a_row(status={"state": state}))
    assert document.progress == (100 if state is State.SUCCEEDED else 0)
    assert document.status in ("processing", "completed", "failed", "cancelled")
    assert (document.stage is None) == state.is_final
    assert (document.error is not None) == (state in (State.FAILED, State.CANCELLED))


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_its_words(stage: Stage) -> None:
    progress = {"podUID": "p", "attempt": 1, "stage": stage}
    document = render_status(a_row(status={"state": "Running", "attempt": 1, "progress": progress}))
    assert document.stage is not None


def test_the_progress_of_an_older_attempt_is_not_shown() -> None:
    progress = {"podUID": "p", "attempt": 1, "stage": "Transcribing", "percent": 60, "processedSeconds": 9}
    document = render_status(a_row(status={"state": "Starting", "attempt": 2, "progress": progress}))
    assert (document.stage, document.progress) == ("starting", 0)
    assert document.audio_seconds_done is None


def test_progress_is_not_100_before_the_result_is_stored() -> None:
    progress = {"podUID": "p", "attempt": 1, "percent": 100}
    assert render_status(a_row(status={"state": "Running", "progress": progress})).progress == 99
    stored = {"state": "Running", "progress": progress, "result": a_result()}
    assert render_status(a_row(status=stored)).progress == 100


def test_a_list_from_a_restored_cluster_replaces_everything() -> None:
    rows = Rows([a_row("gone", 50)], version=60)
    assert rows.replaced_by([a_row("listed", 5)], 20).newest_first() == [a_row("listed", 5)]
