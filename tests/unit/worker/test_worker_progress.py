"""Progress tells the truth: it never falls, and 100 means stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.transcriptionjob import Progress, Stage
from tests.support.worker_fakes import FakeClock
from worker.progress import ProgressGate


def a_gate(clock: FakeClock, interval_seconds: float = 10.0, attempt: int = 1) -> ProgressGate:
    return ProgressGate("pod-1", attempt, interval_seconds, clock)


def a_transcribing_gate(clock: FakeClock, total_seconds: float = 100.0) -> ProgressGate:
    gate = a_gate(clock)
    gate.enter(Stage.TRANSCRIBING, total_seconds)
    return gate


def test_the_first_report_has_no_percent() -> None:
    assert a_gate(FakeClock()).look() == Progress(pod_uid="pod-1", attempt=1, stage=Stage.STARTING)


def test_percent_is_0_when_the_work_begins() -> None:
    assert a_gate(FakeClock()).enter(Stage.DOWNLOADING).percent == 0


def test_a_stage_passes_when_the_last_report_is_young() -> None:
    gate = a_gate(FakeClock())
    assert [gate.enter(stage).stage for stage in (Stage.DOWNLOADING, Stage.LOADING_MODEL)] == [
        Stage.DOWNLOADING,
        Stage.LOADING_MODEL,
    ]


def test_a_window_waits_until_the_interval_is_over() -> None:
    clock = FakeClock()
    gate = a_transcribing_gate(clock)
    clock.seconds = 9.9
    assert gate.advance(30) is None
    clock.seconds = 10
    passed = gate.advance(40)
    assert passed is not None
    assert passed.percent == 40


def test_a_note_stays_in_all_reports_when_it_was_told_once() -> None:
    gate = a_transcribing_gate(FakeClock())
    assert gate.note("Memory ran out.").note == "Memory ran out."
    assert (gate.enter(Stage.SAVING).note, gate.finish().note) == ("Memory ran out.", "Memory ran out.")


def test_a_note_is_cut_when_it_is_longer_than_the_resource_takes() -> None:
    assert a_transcribing_gate(FakeClock()).note("x" * 1000).note == "x" * 256


def test_the_note_of_an_earlier_pod_stays_when_the_attempt_goes_on() -> None:
    gate = a_gate(FakeClock())
    gate.adopt(Progress(pod_uid="old", attempt=1, percent=60, note="Memory ran out."))
    assert gate.enter(Stage.TRANSCRIBING, 100).note == "Memory ran out."


def test_speed_and_time_left_are_those_of_this_pod() -> None:
    clock = FakeClock()
    gate = a_gate(clock)
    gate.adopt(Progress(pod_uid="old", attempt=1, percent=60, processed_seconds=60))
    gate.enter(Stage.TRANSCRIBING, 100)
    clock.seconds = 10
    report = gate.advance(20)
    assert report is not None
    assert (report.percent, report.processed_seconds, report.total_seconds) == (60, 60, 100)
    assert (report.realtime_factor, report.eta_seconds) == (2, 40)


def test_what_an_earlier_pod_has_done_counts_for_percent_but_not_for_speed() -> None:
    clock = FakeClock()
    gate = a_transcribing_gate(clock)
    gate.skip(60)
    clock.seconds = 10
    report = gate.advance(80)
    assert report is not None
    assert (report.percent, report.processed_seconds) == (80, 80)
    assert (report.realtime_factor, report.eta_seconds) == (2, 10)


def test_percent_stays_when_an_earlier_attempt_came_further() -> None:
    gate = a_gate(FakeClock(), attempt=2)
    gate.adopt(Progress(pod_uid="old", attempt=1, percent=60))
    assert gate.enter(Stage.DOWNLOADING).percent == 0


@pytest.mark.parametrize("seconds", [100, 1000])
def test_percent_is_at_most_99_when_nothing_is_stored(seconds: float) -> None:
    clock = FakeClock()
    gate = a_transcribing_gate(clock)
    clock.seconds = 20
    report = gate.advance(seconds)
    assert report is not None
    assert (report.percent, report.processed_seconds, report.eta_seconds) == (99, 100, 0)
    assert gate.enter(Stage.SAVING).percent == 99
    finished = gate.finish()
    assert (finished.percent, finished.stage) == (100, Stage.DELIVERING)


def test_all_audio_is_done_when_saving_after_silence() -> None:
    report = (gate := a_transcribing_gate(FakeClock())).enter(Stage.SAVING)
    assert (report.percent, report.processed_seconds) == (99, 100)
    assert gate.finish().percent == 100


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 60))),
    st.integers(0, 99),
    st.floats(0, 1e5, exclude_min=True),
)
def test_percent_never_falls_whatever_comes(steps: list[tuple[float, float]], stored: int, total: float) -> None:
    clock = FakeClock()
    gate = a_gate(clock)
    gate.adopt(Progress(pod_uid="old", attempt=1, percent=stored))
    reports = [gate.enter(Stage.TRANSCRIBING, total)]
    for processed_seconds, pause_seconds in steps:
        clock.seconds += pause_seconds
        reports += filter(None, [gate.advance(processed_seconds)])
    percents = [report.percent for report in reports if report.percent is not None]
    assert percents == sorted(percents)
    assert len(percents) == len(reports)
    assert percents[0] >= stored
    assert percents[-1] < 100
