"""What scrapes the release, and the dashboard that shows it."""

import json
from pathlib import Path
from typing import Any

import pytest
from chart_rendering import NAMESPACE, RELEASE, Chart, Manifest
from prometheus import check_queries, exposed, labels_in, named_in

VALUES = Path(__file__).with_name("monitoring-values.yaml")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

Panel = dict[str, Any]


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    return [found for found in objects if found["kind"] == kind]


@pytest.fixture(scope="session")
def watched(chart: Chart) -> list[Manifest]:
    return chart.render(VALUES)


@pytest.fixture(scope="session")
def dashboard(watched: list[Manifest]) -> dict[str, Any]:
    (config,) = [found for found in of_kind(watched, "ConfigMap") if "dashboard" in found["metadata"]["name"]]
    (text,) = config["data"].values()
    content: dict[str, Any] = json.loads(text)
    return content


@pytest.fixture(scope="session")
def panels(dashboard: dict[str, Any]) -> list[Panel]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries_of(panel: Panel) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def test_nothing_watches_unless_it_is_asked_for(chart: Chart) -> None:
    kinds = {found["kind"] for found in chart.render()}
    assert not kinds & {"PodMonitor", "PrometheusRule", "ConfigMap"}


def test_what_watches_is_in_the_namespace_and_says_who_manages_it(watched: list[Manifest]) -> None:
    for found in watched:
        if found["kind"] in {"PodMonitor", "PrometheusRule", "ConfigMap"}:
            assert found["metadata"]["namespace"] == NAMESPACE
            assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
            assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE


@pytest.mark.parametrize("component", ["api", "controller"])
def test_each_monitor_selects_the_pods_and_the_port_of_its_component(watched: list[Manifest], component: str) -> None:
    (monitor,) = [m for m in of_kind(watched, "PodMonitor") if m["metadata"]["name"] == f"{RELEASE}-{component}"]
    (deployment,) = [d for d in of_kind(watched, "Deployment") if d["metadata"]["name"] == f"{RELEASE}-{component}"]
    template = deployment["spec"]["template"]
    assert monitor["spec"]["selector"] == deployment["spec"]["selector"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    port = {"api": "http", "controller": "metrics"}[component]
    assert endpoint == {"port": port, "path": "/metrics", "interval": "15s"}
    assert port in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


def test_the_sidecar_finds_the_dashboard(watched: list[Manifest]) -> None:
    (config,) = of_kind(watched, "ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"grafana_folder": "Media"}
    assert list(config["data"]) == [f"{NAMESPACE}-{RELEASE}.json"]


def test_every_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(panels: list[Panel]) -> None:
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert {json.dumps(one["datasource"]) for one in [panel, *panel["targets"]]} == {json.dumps(SOURCE)}
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    boxes = [panel["gridPos"] for panel in dashboard["panels"]]
    taken = [(x, y) for b in boxes for x in range(b["x"], b["x"] + b["w"]) for y in range(b["y"], b["y"] + b["h"])]
    assert len(taken) == len(set(taken))
    assert all(x < COLUMNS for x, _ in taken)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_prometheus_reads_every_query(panels: list[Panel], tmp_path: Path) -> None:
    check_queries([q.replace("$__rate_interval", "5m") for panel in panels for q in queries_of(panel)], tmp_path)


def test_a_query_that_prometheus_cannot_read_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        check_queries(["sum(transcription_jobs{)"], tmp_path)


def test_every_query_asks_for_metrics_and_labels_that_our_programs_have(panels: list[Panel]) -> None:
    known = exposed()
    for panel in panels:
        for query in queries_of(panel):
            assert named_in(query), query
            assert named_in(query) <= set(known), query
            assert labels_in(query) <= set().union(*(known[metric] for metric in named_in(query))), query
            assert query.count('namespace="$namespace"') == len(named_in_each(query)), query


def named_in_each(query: str) -> list[str]:
    """Every place where a query names a metric of ours."""
    return [word for word in query.replace("(", " ").split() if word.startswith("transcription_")]


def test_legends_name_labels_that_their_query_keeps(panels: list[Panel]) -> None:
    for panel in panels:
        for target in panel["targets"]:
            labels = {word.partition("}}")[0] for word in target["legendFormat"].split("{{")[1:]}
            groupings = target["expr"].replace("on (pod)", "").partition("by (")[2].partition(")")[0]
            assert labels <= set(groupings.replace(",", " ").split()), panel["title"]


def test_the_dashboard_shows_the_whole_journey(dashboard: dict[str, Any]) -> None:
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Transcriptions", "Waits and GPUs", "Callbacks", "API", "Controller"]


def test_almost_every_metric_is_on_the_dashboard(panels: list[Panel]) -> None:
    text = " ".join(query for panel in panels for query in queries_of(panel))
    left_out = {name for name in exposed() if not name.endswith(("_sum", "_count")) and name not in text}
    assert left_out == {
        "transcription_live",
        "transcription_api_live_jobs",
        "transcription_api_keys_file_age_seconds",
        "transcription_relists_total",
        "transcription_watch_events_total",
    }


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("monitoring.podMonitors.enabled=true", "/monitoring"),
        ("monitoring.podMonitor.interval=often", "/monitoring/podMonitor/interval"),
        ("monitoring.rules.thresholds.failureRatio=10", "/monitoring/rules/thresholds/failureRatio"),
        ("monitoring.rules.runbookUrl=docs", "/monitoring/rules/runbookUrl"),
    ],
)
def test_a_wrong_value_is_refused(chart: Chart, wrong: str, place: str) -> None:
    assert f"at '{place}'" in chart.refuse(wrong)
