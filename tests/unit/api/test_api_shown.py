"""Documents that are kept are those of the row that is asked for, and nothing of others."""

import json
from dataclasses import replace

import pytest

from api import shown
from api.rows import Rows
from api.shown import Shown
from crds.transcriptionjob import State
from tests.support.api_fakes import a_result, a_row

DONE = {"state": "Succeeded", "attempt": 1, "result": a_result()}


def test_the_same_bytes_are_shown_until_the_row_changes() -> None:
    row = a_row("a", 1, DONE)
    documents, rows = Shown(), Rows([row])
    first = documents.show(row, rows)
    assert documents.show(row, rows) is first
    failed = replace(row, state=State.FAILED, version=2)
    assert json.loads(documents.show(failed, rows))["status"] == "failed"
    assert json.loads(documents.show(row, rows))["status"] == "completed"


def test_a_place_in_line_is_always_the_present_one() -> None:
    first, second = a_row("first", 1), a_row("second", 2)
    documents, rows = Shown(), Rows([first, second])
    assert json.loads(documents.show(second, rows))["queue"] == {"position": 2}
    rows.see(replace(first, state=State.RUNNING, version=3))
    assert json.loads(documents.show(second, rows))["queue"] == {"position": 1}


def test_no_more_are_kept_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "MAX_DOCUMENTS", 3)
    rows = [a_row(f"job-{number}", number, DONE) for number in range(1, 9)]
    documents, known = Shown(), Rows(rows)
    for row in rows:
        documents.show(row, known)
        assert len(documents._documents) <= 3
