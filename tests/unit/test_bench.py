"""The arithmetic of the benches, and that the page with their figures says what they were measured on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.bench import report
from tests.bench.__main__ import measure_all
from tests.bench.figures import at_least, at_most, control_of, digits, is_quiet, ratio_of
from tests.bench.harness import OURS, Bench, BenchError, Outcome, Sample, measure

UNIT = "requests per CPU-second"
SEEN = report.Circumstances("07d5d56", "2 cores", "Python 3.13", "make bench", "2025-09-11")


def a_bench(ours: list[float], peer: list[float], goal: Any = None) -> Bench:
    left, right = iter(ours), iter(peer)
    sides = {OURS: lambda: Sample({UNIT: next(left)}, 1), "peer": lambda: Sample({UNIT: next(right)}, 1)}
    return Bench("status", "Status reads", sides, {UNIT: goal or at_least(10)}, rounds=3)


def an_outcome(goal: Any = None) -> Outcome:
    return measure(a_bench([100, 120, 90], [10, 10, 9], goal))


def test_the_ratio_is_that_of_the_medians_when_pairs_differ() -> None:
    ratio = ratio_of([100, 120, 90], [10, 10, 9])
    assert (ratio.median, ratio.low, ratio.high) == (10, 10, 12)


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [(at_least(0.5), 0.5, True), (at_least(0.5), 0.49, False), (at_most(0.2), 0.2, True), (at_most(0.2), 0.21, False)],
)
def test_a_goal_is_met_when_the_ratio_reaches_its_bound(goal: Any, ratio: float, met: bool) -> None:
    assert goal.is_met(ratio) is met


def test_the_control_is_off_when_a_peer_differs_from_itself() -> None:
    assert is_quiet(control_of([10, 10.5, 10, 9.8, 10]))
    assert not is_quiet(control_of([10, 12, 10, 12, 10]))


@pytest.mark.parametrize(("value", "text"), [(5519.6, "5,520"), (12.345, "12.3"), (0.18512, "0.185"), (0.5, "0.5")])
def test_figures_have_three_digits_when_they_are_shown(value: float, text: str) -> None:
    assert digits(value) == text


def test_sides_take_turns_when_a_bench_is_measured() -> None:
    turns: list[str] = []

    def side(name: str) -> Sample:
        turns.append(name)
        return Sample({UNIT: 1.0}, None)

    measure(Bench("b", "t", {OURS: lambda: side("a"), "peer": lambda: side("b")}, {}, rounds=2))
    assert turns == ["a", "b", "a", "b"]


def test_nothing_is_measured_when_sides_answer_differently() -> None:
    sides = {OURS: lambda: Sample({UNIT: 1.0}, {"n": 1}), "peer": lambda: Sample({UNIT: 1.0}, {"n": 2})}
    with pytest.raises(BenchError, match="peer answers"):
        measure(Bench("b", "t", sides, {}, rounds=1))


def test_a_missed_goal_is_said_when_a_run_is_shown() -> None:
    outcome = an_outcome(at_least(20))
    assert report.missed([outcome]) == [f"missed: status, {UNIT}: 10 instead of ≥ 20"]
    assert "**missed**" in report.render([outcome], SEEN)
    assert report.missed([an_outcome()]) == []


def test_the_ratio_comes_first_when_a_row_is_shown() -> None:
    row = report.render_table(an_outcome()).splitlines()[-1]
    assert row == f"| **10** | ≥ 10 met | 10 to 12 | {UNIT} | peer | 100 (90 to 120) | 10 (9 to 10) | 0.95 |"


def test_the_words_stay_when_figures_are_replaced() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.put_between_marks(text, "new") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"


def test_the_page_names_its_circumstances_when_it_is_published() -> None:
    text = report.DOC.read_text()
    figures = text.partition(report.BEGIN)[2].partition(report.END)[0]
    for fact in ("Command: `make bench`", "Commit: `", "Machine: ", "Versions: Python ", "Day: 20", "Pairs: 7"):
        assert f"- {fact}" in figures
    assert figures.count("| ours / peer |") >= 3


def test_every_sample_and_control_is_kept_when_a_run_is_written_down() -> None:
    kept = report.raw([an_outcome()])["status"]
    assert kept["samples"]["peer"] == [{UNIT: 10}, {UNIT: 10}, {UNIT: 9}]
    assert [(row["peer"], row["control"]) for row in kept["rows"]] == [("peer", 0.95)]


def test_the_image_s_versions_are_those_of_the_lock_files_when_they_are_named() -> None:
    for file, names in report.LOCKED.items():
        for name in names:
            assert report.find_locked(name, file)[0].isdigit()


@contextmanager
def a_broken_place() -> Iterator[None]:
    raise BenchError("no cluster")
    yield


def test_the_others_are_measured_when_one_fails() -> None:
    def fail() -> Sample:
        raise BenchError("it ended")

    steady = a_bench([100, 100, 100], [10, 10, 10])
    broken = replace(steady, name="broken", sides={OURS: fail, "peer": fail})
    homeless = replace(steady, name="homeless", around=a_broken_place)
    found = measure_all([homeless, broken, steady])
    assert list(found) == ["homeless", "broken", "status"]
    assert isinstance(found["status"], Outcome)
    assert [str(found[name]) for name in ("homeless", "broken")] == ["no cluster", "it ended"]
