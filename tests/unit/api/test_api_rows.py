"""The map of rows, and the status document made of one."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.documents import render_status
from api.row import Row, parse_row
from api.rows import Rows
from crds.transcriptionjob import FORMATS, Format, Result, Stage, State
from tests.support.api_fakes import NOW, a_manifest, a_result, a_row

NAMES = ("a", "b", "c", "d")


def everything(rows: Rows) -> list[Row]:
    return rows.page(lambda _: True, None, len(rows) + 1)


def names(rows: Rows) -> list[str]:
    return [row.name for row in everything(rows)]


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
    assert names(fresh) == ["written", "listed"]
    assert fresh.version == 20


def test_a_row_is_small() -> None:
    progress = {"podUID": "p" * 36, "attempt": 1, "percent": 1, "stage": "Starting", "totalSeconds": 1.0}
    text = json.dumps(a_manifest("a", 1, {"state": "Succeeded", "progress": progress, "result": a_result()}))
    parse_row(json.loads(text))
    tracemalloc.start()
    rows = [parse_row(json.loads(text)) for _ in range(50)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(rows) < 2048


@pytest.mark.parametrize("output", FORMATS)
def test_a_format_lies_where_the_resource_says(output: Format) -> None:
    row = parse_row(a_manifest("a", 1, {"result": a_result()}))
    assert row.result is not None
    assert row.result.key_of(output) == Result.model_validate(a_result()).key_of(output)


def test_what_was_deleted_does_not_come_back_by_late_news() -> None:
    rows = Rows([a_row("a", 5)], version=10)
    rows.delete(a_row("a", 5))
    assert rows.get("a") is None
    rows.see(a_row("a", 9))
    rows.put(a_row("a", 11))
    assert rows.get("a") is None
    rows = rows.replaced_by([a_row("a", 11)], 12)
    assert rows.get("a") is None
    rows.forget("a", 13)
    remade = replace(a_row("a", 14), uid="another")
    rows.see(remade)
    assert rows.get("a") == remade


def test_deleting_leaves_a_successor_of_the_same_name_alone() -> None:
    remade = replace(a_row("a", 9), uid="another")
    rows = Rows([remade], version=10)
    rows.delete(a_row("a", 5))
    assert rows.get("a") == remade


def test_the_place_in_line_counts_those_that_wait_from_the_oldest() -> None:
    rows = Rows([a_row("old", 1), a_row("busy", 2, {"state": "Running"}), a_row("new", 3, {"state": "Queued"})])
    assert [rows.place_of(row) for row in everything(rows)] == [2, None, 1]
    rows.see(replace(a_row("old", 4, {"state": "Starting"}), created=a_row("old", 1).created))
    assert [rows.place_of(row) for row in everything(rows)] == [1, None, None]
    assert rows.live == 3


def test_one_that_is_being_deleted_does_not_wait() -> None:
    rows = Rows([replace(a_row("a", 1), is_deleting=True), a_row("b", 2)])
    assert [rows.place_of(row) for row in everything(rows)] == [1, None]


def test_a_page_begins_below_its_bound() -> None:
    rows = Rows([replace(a_row(name), created=NOW) for name in NAMES])
    assert [row.name for row in rows.page(lambda row: row.name != "b", (NOW, "d"), 2)] == ["c", "a"]
    assert rows.page(lambda _: True, (NOW, "a"), 2) == []


@dataclass
class Model:
    """The same rules in a dict that is sorted and counted anew each time."""

    rows: dict[str, Row] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    version: int = 0

    def see(self, row: Row) -> None:
        if not self.is_ahead(row) and self.deleted.get(row.name) != row.uid:
            self.rows[row.name] = row
        self.version = max(self.version, row.version)

    def put(self, row: Row) -> None:
        if row.version > self.version and not self.is_ahead(row) and self.deleted.get(row.name) != row.uid:
            self.rows[row.name] = row

    def forget(self, row: Row) -> None:
        self.deleted.pop(row.name, None)
        if not self.is_ahead(row):
            self.rows.pop(row.name, None)
        self.version = max(self.version, row.version)

    def delete(self, row: Row) -> None:
        if row.name in self.rows and self.rows[row.name].uid == row.uid:
            self.deleted[row.name] = self.rows.pop(row.name).uid

    def is_ahead(self, row: Row) -> bool:
        return row.name in self.rows and self.rows[row.name].version > row.version


@st.composite
def some_rows(draw: st.DrawFn) -> Row:
    row = a_row(draw(st.sampled_from(NAMES)), draw(st.integers(1, 30)), {"state": draw(st.sampled_from(State))})
    age = timedelta(seconds=draw(st.integers(0, 2)))
    return replace(row, created=NOW + age, uid=draw(st.sampled_from("xy")), is_deleting=draw(st.booleans()))


STEPS: dict[str, tuple[Callable[[Rows, Row], None], Callable[[Model, Row], None]]] = {
    "see": (Rows.see, Model.see),
    "put": (Rows.put, Model.put),
    "delete": (Rows.delete, Model.delete),
    "forget": (lambda rows, row: rows.forget(row.name, row.version), Model.forget),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), some_rows()), max_size=25), st.booleans())
def test_the_map_is_as_a_simple_one_after_any_history(history: list[tuple[str, Row]], is_relisted: bool) -> None:
    rows, model = Rows(), Model()
    for step, row in history:
        act, expect = STEPS[step]
        act(rows, row)
        expect(model, row)
        if is_relisted:
            rows = rows.replaced_by(everything(rows), rows.version)
            model.deleted = {}
        check_against(rows, model)


def check_against(rows: Rows, model: Model) -> None:
    ordered = sorted(model.rows.values(), key=lambda row: (row.created, row.name))
    assert everything(rows) == ordered[::-1]
    waiting = [row for row in ordered if row.state in (State.PENDING, State.QUEUED) and not row.is_deleting]
    places = {row.name: place for place, row in enumerate(waiting, 1)}
    assert {row.name: rows.place_of(row) for row in ordered} == {row.name: places.get(row.name) for row in ordered}
    assert rows.live == sum(not row.state.is_final for row in ordered)
    assert rows.version == model.version


@pytest.mark.parametrize("state", State)
def test_progress_is_a_number_in_every_state(state: State) -> None:
    document = render_status(a_row(status={"state": state}), Rows())
    assert document.progress == (100 if state is State.SUCCEEDED else 0)
    assert document.status in ("processing", "completed", "failed", "cancelled")
    assert (document.stage is None) == state.is_final
    assert (document.error is not None) == (state in (State.FAILED, State.CANCELLED))


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_its_words(stage: Stage) -> None:
    progress = {"podUID": "p", "attempt": 1, "stage": stage}
    document = render_status(a_row(status={"state": "Running", "attempt": 1, "progress": progress}), Rows())
    assert document.stage is not None


def test_the_progress_of_an_older_attempt_is_not_shown() -> None:
    progress = {"podUID": "p", "attempt": 1, "stage": "Transcribing", "percent": 60, "processedSeconds": 9}
    document = render_status(a_row(status={"state": "Starting", "attempt": 2, "progress": progress}), Rows())
    assert (document.stage, document.progress) == ("starting", 0)
    assert document.audio_seconds_done is None


def test_progress_is_not_100_before_the_result_is_stored() -> None:
    progress = {"podUID": "p", "attempt": 1, "percent": 100}
    assert render_status(a_row(status={"state": "Running", "progress": progress}), Rows()).progress == 99
    stored = {"state": "Running", "progress": progress, "result": a_result()}
    assert render_status(a_row(status=stored), Rows()).progress == 100


def test_a_list_from_a_restored_cluster_replaces_everything() -> None:
    rows = Rows([a_row("gone", 50)], version=60)
    assert everything(rows.replaced_by([a_row("listed", 5)], 20)) == [a_row("listed", 5)]
