"""What the dashboard's picture asks a Prometheus for."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from dev.picture.panels import PictureError, Prometheus, picture_of
from dev.state import checkout

HOUR = 3600


@dataclass(frozen=True)
class FakePrometheus(Prometheus):
    """Has two namespaces and no series, and remembers what it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, path: str, **parameters: Any) -> Any:
        if path.startswith("label/"):
            return ["media", "video"]
        self.asked.append(parameters)
        if "broken" in parameters["query"]:
            raise PictureError("parse error")
        return {"result": []}


def a_prometheus(seconds: int = HOUR) -> FakePrometheus:
    return FakePrometheus("http://prometheus", start=100 * HOUR + 7, end=100 * HOUR + 7 + seconds)


def a_dashboard(query: str = "up", kind: str = "timeseries") -> dict[str, Any]:
    panel = {"id": 1, "type": kind, "title": "Load", "gridPos": {"x": 0, "y": 0, "w": 8, "h": 8}}
    namespace = {"name": "namespace", "type": "query", "query": {"query": "label_values(up, namespace)"}}
    return {"panels": [{**panel, "targets": [{"refId": "A", "expr": query}]}], "templating": {"list": [namespace]}}


def test_every_panel_of_the_charts_dashboard_is_asked_for() -> None:
    dashboard = json.loads((checkout() / "charts/transcription/files/dashboard.json").read_text())
    prometheus = a_prometheus()
    picture = picture_of(dashboard, prometheus)
    assert picture["answers"].keys() == {panel["id"] for panel in dashboard["panels"] if panel["type"] != "row"}
    assert not [asked for asked in prometheus.asked if re.search(r"\$[a-z_{]", asked["query"])]


def test_variables_are_what_grafana_would_choose_when_there_are_several() -> None:
    prometheus = a_prometheus()
    picture_of(a_dashboard('rate(up{namespace="$namespace"}[$__rate_interval])'), prometheus)
    assert prometheus.asked[0]["query"] == 'rate(up{namespace="media"}[60s])'


@pytest.mark.parametrize(("seconds", "step"), [(15 * 60, 15), (6 * HOUR, 60), (48 * HOUR, 600)])
def test_the_step_is_as_wide_as_the_panel_can_show_when_the_time_grows(seconds: int, step: int) -> None:
    prometheus = a_prometheus(seconds)
    picture_of(a_dashboard(), prometheus)
    assert prometheus.asked[0]["step"] == step
    assert prometheus.asked[0]["start"] % step == 0


@pytest.mark.parametrize(
    ("dashboard", "words"),
    [
        (lambda: a_dashboard("broken"), "panel Load, query A: parse error"),
        (lambda: a_dashboard(kind="heatmap"), r"not Load \(heatmap\)"),
    ],
)
def test_what_cannot_be_drawn_is_named_when_it_is_met(dashboard: Callable[[], dict[str, Any]], words: str) -> None:
    with pytest.raises(PictureError, match=words):
        picture_of(dashboard(), a_prometheus())
