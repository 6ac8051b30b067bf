"""Every alert fires when it should, and has a page that says what to do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_rendering import CHART, NAMESPACE, RELEASE, Chart, read_values
from prometheus import build_unit_test, check_queries, exposed, labels_in, named_in, run_promtool

from tests.support.chart_values import ROOT

VALUES = Path(__file__).with_name("monitoring-values.yaml")
CASES = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text())
RUNBOOKS = ROOT / "docs/runbooks"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

Rule = dict[str, Any]


@pytest.fixture(scope="session")
def groups(chart: Chart) -> dict[str, Any]:
    """What the Prometheus operator writes into a file of rules."""
    (found,) = [one for one in chart.render(VALUES) if one["kind"] == "PrometheusRule"]
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.fixture(scope="session")
def alerts(groups: dict[str, Any]) -> dict[str, Rule]:
    (group,) = groups["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


@pytest.fixture(scope="session")
def rules_file(groups: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(groups))
    return path


def test_prometheus_reads_the_rules(rules_file: Path, alerts: dict[str, Rule]) -> None:
    assert f"{len(alerts)} rules found" in run_promtool("check", "rules", rules_file)


def test_each_alert_fires_when_it_should_and_rests_on_a_good_day(rules_file: Path) -> None:
    tests = rules_file.with_name("tests.yaml")
    tests.write_text(yaml.safe_dump(build_unit_test(rules_file, CASES)))
    run_promtool("test", "rules", tests)


def test_each_alert_has_its_cases(alerts: dict[str, Rule]) -> None:
    assert list(CASES) == list(alerts)


def test_promtool_says_so_when_an_alert_does_not_fire(rules_file: Path) -> None:
    tests = rules_file.with_name("wrong.yaml")
    case = CASES["TranscriptionsWaitLong"]
    wrong = {"TranscriptionsWaitLong": case | {"fires": case["rests"]}}
    tests.write_text(yaml.safe_dump(build_unit_test(rules_file, wrong)))
    with pytest.raises(AssertionError, match="FAILED"):
        run_promtool("test", "rules", tests)


def test_alerts_ask_for_metrics_and_labels_that_our_programs_have(alerts: dict[str, Rule]) -> None:
    known = exposed()
    for name, rule in alerts.items():
        metrics = named_in(rule["expr"])
        assert metrics, name
        assert metrics <= set(known), name
        assert labels_in(rule["expr"]) <= set().union(*(known[metric] for metric in metrics)), name


def test_alerts_look_at_the_namespace_of_the_release_alone(alerts: dict[str, Rule]) -> None:
    for rule in alerts.values():
        selectors = re.findall(r"transcription_\w+(\{[^\"]*\"[^\"]*\")", rule["expr"])
        assert len(selectors) == len(re.findall(r"\btranscription_\w+", rule["expr"]))
        assert set(selectors) == {f'{{namespace="{NAMESPACE}"'}


def test_each_alert_has_a_page_with_four_sections_and_no_page_is_left_over(alerts: dict[str, Rule]) -> None:
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("*.md")}
    assert sorted(pages) == sorted(alerts)
    for name, text in pages.items():
        assert text.startswith(f"# {name}\n")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS, name
        assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]), name
        assert "kubectl" in text.partition("## Diagnosis")[2], name


def test_the_guide_to_metrics_lists_the_alerts(alerts: dict[str, Rule]) -> None:
    guide = (ROOT / "docs/metrics.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\)", guide, re.MULTILINE) == list(alerts)


def test_prometheus_reads_the_queries_of_the_pages(tmp_path: Path) -> None:
    text = "\n".join(path.read_text() for path in sorted(RUNBOOKS.glob("*.md")))
    queries = [query for query in re.findall(r"`([^`\n]+)`|^  (.+)$", text, re.MULTILINE) for query in query if query]
    queries = [query for query in queries if named_in(query) and not query.startswith("kubectl")]
    assert len(queries) > len(CASES)
    check_queries(queries, tmp_path)
    known = exposed()
    for query in queries:
        assert named_in(query) <= set(known), query
        assert labels_in(query) <= set().union(*(known[metric] for metric in named_in(query))), query


def test_each_alert_says_how_bad_it_is_who_cares_and_where_to_read_on(alerts: dict[str, Rule]) -> None:
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["labels"]["team"] == "media"
        assert rule["annotations"]["runbook_url"] == f"https://example.org/runbooks/{name}.md"
        assert rule["annotations"]["summary"].endswith(".")


def render(chart: Chart, *settings: str) -> str:
    """The rules with these values, written as JSON."""
    words = [word for setting in settings for word in ("--set-json", f"monitoring.rules.{setting}")]
    done = chart.run("template", RELEASE, CHART, "--show-only", "templates/monitoring/rules.yaml", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_threshold_changes_its_alerts(chart: Chart) -> None:
    thresholds = read_values()["monitoring"]["rules"]["thresholds"]
    odd = {str: "76m", int: "777", float: "0.543"}
    settings = [f"thresholds.{name}={json.dumps(parse(odd[type(value)]))}" for name, value in thresholds.items()]
    text = render(chart, "enabled=true", *settings)
    twice = ["watchIdleSeconds", "apiErrorRatio"]
    assert sum(text.count(value) for value in odd.values()) == len([*thresholds, *twice])


def parse(word: str) -> str | float:
    value: str | float = yaml.safe_load(word)
    return value


def test_an_alert_is_left_out_when_it_is_disabled(chart: Chart) -> None:
    text = render(chart, "enabled=true", 'disabled=["ApiSlow"]')
    assert "ApiSlow" not in text
    assert "ApiErrors" in text
    assert "runbook_url" not in text, "no address is given"


def test_an_unknown_alert_cannot_be_disabled(chart: Chart) -> None:
    assert "at '/monitoring/rules/disabled/0'" in chart.refuse("monitoring.rules.disabled={ApiSlo}")
