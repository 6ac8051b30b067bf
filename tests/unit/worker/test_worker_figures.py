"""What a run took, in the transcript."""

import pytest

from crds.transcriptionjob import Stage
from tests.support.worker_fakes import FakeClock, a_transcript
from worker.figures import Figures, measure_peak_bytes


def some_figures(clock: FakeClock, **seconds: float) -> Figures:
    figures = Figures(clock, lambda: 5)
    for stage, took in seconds.items():
        with figures.timed(Stage[stage]):
            clock.seconds += took
    return figures


def test_stages_speed_and_memory_are_told() -> None:
    figures = some_figures(FakeClock(), DOWNLOADING=3, LOADING_MODEL=2, TRANSCRIBING=10)
    assert figures.add_to(a_transcript(), 100.0, 0.0)["figures"] == {
        "audio_seconds": 100.0,
        "resumed_seconds": 0.0,
        "stage_seconds": {"download": 3, "load_model": 2, "transcribe": 10},
        "first_window": None,
        "realtime_factor": 10.0,
        "host_peak_bytes": 5,
    }


def test_speed_is_that_of_this_pod_when_another_did_a_part() -> None:
    figures = some_figures(FakeClock(), TRANSCRIBING=10)
    assert figures.add_to(a_transcript(), 100.0, 80.0)["figures"]["realtime_factor"] == 2


def test_the_transcript_stays_as_it_is() -> None:
    transcript = a_transcript()
    found = some_figures(FakeClock(), TRANSCRIBING=0).add_to(transcript, 100.0, 0.0)
    assert transcript == a_transcript()
    assert {**transcript, "figures": found["figures"]} == found


def test_memory_is_measured_in_bytes() -> None:
    assert measure_peak_bytes() == pytest.approx(100 << 20, rel=9)


def test_the_first_window_is_timed_from_the_start() -> None:
    clock = FakeClock()
    figures = some_figures(clock, DOWNLOADING=3, LOADING_MODEL=2)
    figures.note_window()
    clock.seconds += 10
    figures.note_window()
    assert figures.add_to(a_transcript(), 100.0, 0.0)["figures"]["first_window"] == 5
