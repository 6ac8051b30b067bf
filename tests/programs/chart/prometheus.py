"""promtool, run on the chart's rules and on the queries of its dashboard."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from chart_rendering import NAMESPACE
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from api.metrics import Metrics as ApiMetrics
from controller.metrics import Metrics as ControllerMetrics
from tests.support.chart_values import ROOT

METRIC = re.compile(r"\btranscription_\w+")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}

Case = dict[str, Any]


def find_promtool() -> Path:
    """The promtool of this checkout, or the one on PATH."""
    found = shutil.which("promtool", path=f"{ROOT / '.dev/bin'}") or shutil.which("promtool")
    assert found, "promtool is missing: run make test, or put promtool on PATH"
    return Path(found)


def run_promtool(*words: str | Path) -> str:
    """What it says; fails when it is not content."""
    done = subprocess.run([find_promtool(), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_queries(queries: list[str], folder: Path) -> None:
    """Have promtool read each query, as the rule that it would be."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = folder / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(queries)} rules found" in run_promtool("check", "rules", path)


def exposed() -> dict[str, set[str]]:
    """Every series name that our programs expose, with its labels."""
    api = ApiMetrics()
    api.follow(float, float)
    api.follow_keys(float)
    return series_of(api.registry) | series_of(ControllerMetrics.build().registry)


def series_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    found = {}
    for metric in list(registry._collector_to_names):
        assert isinstance(metric, MetricWrapperBase)
        (family,) = metric.describe()
        extra = {"le"} if family.type == "histogram" else set()
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = set(metric._labelnames) | extra
    return found


def named_in(query: str) -> set[str]:
    """The metrics of ours that a query asks for."""
    return set(METRIC.findall(query))


def labels_in(query: str) -> set[str]:
    """The labels that its selectors and groupings name, less those that Prometheus adds."""
    selectors = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", query)
    groupings = re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
    return {*selectors, *re.findall(r"\w+", " ".join(groupings))} - {"namespace", "pod"}


def build_unit_test(rules: Path, cases: dict[str, Case]) -> dict[str, Any]:
    """promtool's own tests: each alert with the series that make it fire, and with those that do not."""
    tests = [
        build_one(name, case["after"], case[kind], is_firing=kind == "fires")
        for name, case in cases.items()
        for kind in ("fires", "rests")
    ]
    return {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}


def build_one(alert: str, minutes: int, series: dict[str, str], *, is_firing: bool) -> dict[str, Any]:
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    samples = [{"labels": "{}", "value": 1}] if is_firing else []
    return {
        "name": f"{alert} {'fires' if is_firing else 'rests'}",
        "interval": "1m",
        "input_series": [{"series": spell_out(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{minutes}m", "exp_samples": samples}],
    }


def spell_out(series: str) -> str:
    """The series with our prefix and the labels that Prometheus adds."""
    name, _, labels = series.rstrip("}").partition("{") if series.endswith('"}') else (series, "", "")
    pod = "" if "pod=" in labels else ', pod="a"'
    return f'transcription_{name}{{namespace="{NAMESPACE}"{pod}{", " if labels else ""}{labels}}}'
