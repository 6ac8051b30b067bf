"""The soak's page and plot, the proxy's names: what is drawn and written down is what was seen."""

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.counting_proxy import name_resource
from tests.soak.report import Row, SoakReport, render
from tests.soak.scale_report import render_plot
from tests.soak.sightings import Sightings
from tests.soak.simulation import Moment

FACTS = {"Day": "2026-11-28"}


def a_report(when: str, outcome: str, nodeid: str = "a") -> Any:
    return pytest.TestReport(nodeid, ("f", 1, "a"), {}, outcome, None, when, duration=1.0)  # type: ignore[arg-type]


def a_soak(*reports: Any, wanted: int = 1) -> Row:
    soak = SoakReport()
    soak.rows["it works"] = Row(wanted=wanted)
    soak._row_of["a"] = "it works"
    for report in reports:
        soak.pytest_runtest_logreport(report)
    return soak.rows["it works"]


def a_transcription(name: str, state: str) -> Any:
    return {"metadata": {"name": name}, "status": {"state": state}}


def test_a_row_has_passed_when_all_its_runs_have() -> None:
    row = a_soak(a_report("setup", "passed"), a_report("call", "passed"), a_report("teardown", "passed"))
    assert row.has_passed
    assert (row.run, row.seconds) == (1, 3.0)


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [a_report("setup", "skipped")],
        [a_report("setup", "failed")],
        [a_report("call", "failed")],
        [a_report("call", "skipped")],
        [a_report("call", "passed"), a_report("teardown", "failed")],
    ],
)
def test_a_row_counts_as_failed_when_it_did_not_run_to_a_good_end(reports: list[Any]) -> None:
    assert not a_soak(*reports).has_passed


def test_a_row_counts_as_failed_when_a_repeat_is_missing() -> None:
    row = a_soak(a_report("call", "passed"), wanted=5)
    assert not row.has_passed
    assert "| it works | 1 of 5 | **1, failed** | 1 |" in render({"it works": row}, FACTS)


def test_the_page_says_failed_when_nothing_was_run() -> None:
    assert "Nothing was run: failed." in render({}, FACTS)


def test_the_plot_ends_at_the_right_edge_when_it_is_drawn() -> None:
    moments = [Moment(n, n / 2, 100 + n, 10, 3, n) for n in range(5)]
    lines = ElementTree.fromstring(render_plot(moments)).findall("{*}polyline")
    points = [line.attrib["points"].split() for line in lines]
    assert len(points) == 4
    assert all(len(line) == 5 and line[-1].startswith("930.0,") for line in points)


def test_a_final_state_that_changes_is_seen() -> None:
    sightings = Sightings(None, "ns")  # type: ignore[arg-type]
    for state in ("Running", "Succeeded", "Succeeded", "Failed"):
        sightings._see(a_transcription("a", state))
    assert sightings.ends == {"a": "Succeeded"}
    assert sightings.changed == ["a: Succeeded, then Failed"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/apis/batch/v1/namespaces/x/jobs", "jobs"),
        ("/apis/transcription.ecg.dev/v1alpha1/namespaces/x/transcriptionjobs/a/status", "transcriptionjobs/status"),
        ("/apis/transcription.ecg.dev/v1alpha1/namespaces/x/transcriptionjobs/a", "transcriptionjobs"),
        ("/api/v1/namespaces/x/events", "events"),
        ("/api/v1/namespaces", "/api/v1/namespaces"),
    ],
)
def test_a_request_is_counted_by_its_resource(path: str, name: str) -> None:
    assert name_resource(path) == name
