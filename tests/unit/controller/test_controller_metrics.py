"""The names are what dashboards and alerts are made of: they stay."""

import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, generate_latest

from controller.metrics import Metrics
from crds.transcriptionjob import State

GUIDE = Path(__file__).parents[3] / "docs/metrics.md"
NAMES = [
    "transcription_attempts_total",
    "transcription_audio_seconds_total",
    "transcription_callback_tries_total{code}",
    "transcription_disruptions_total{reason}",
    "transcription_event_loop_lag_seconds",
    "transcription_failures_total{class,reason}",
    "transcription_finished_total{state,reason}",
    "transcription_job_queue_seconds",
    "transcription_job_run_seconds{state}",
    "transcription_job_start_latency_seconds",
    "transcription_jobs{state}",
    "transcription_kubernetes_requests_total{verb,resource,code}",
    "transcription_leader",
    "transcription_live",
    "transcription_longest_silence_seconds",
    "transcription_longest_wait_seconds",
    "transcription_realtime_factor",
    "transcription_reconcile_seconds",
    "transcription_reconcile_total{result}",
    "transcription_relists_total{kind}",
    "transcription_waiting{reason}",
    "transcription_watch_events_total{kind,type}",
    "transcription_watch_idle_seconds{kind}",
    "transcription_workqueue_depth",
    "transcription_workqueue_wait_seconds",
]
KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def rows() -> dict[str, str]:
    """Each metric by name and labels: its row of the guide."""
    found = {}
    for metric in vars(Metrics.build()).values():
        if type(metric) in KINDS:
            (family,) = metric.describe()
            suffix = "_total" if isinstance(metric, Counter) else ""
            labels = f"{{{','.join(metric._labelnames)}}}" if metric._labelnames else ""
            name = f"{family.name}{suffix}{labels}"
            found[name] = f"| `{name}` | {KINDS[type(metric)]} | {family.documentation} |"
    return found


def test_names_and_labels_stay() -> None:
    assert sorted(rows()) == NAMES


def test_no_label_names_a_transcription() -> None:
    labels = {label for name in NAMES for label in name.partition("{")[2].rstrip("}").split(",") if label}
    assert labels == {"class", "code", "kind", "reason", "resource", "result", "state", "type", "verb"}


def test_the_guide_lists_every_metric_as_it_is() -> None:
    listed = [
        line for line in GUIDE.read_text().splitlines() if line.startswith("| `transcription_") and "_api_" not in line
    ]
    wanted = rows()
    assert listed == [wanted[name] for name in wanted], "\n" + "\n".join(wanted.values())


def test_every_state_has_a_count_though_it_be_none() -> None:
    metrics = Metrics.build()
    metrics.show_states([None, State.PENDING, State.RUNNING])
    metrics.show_states([None, State.RUNNING, State.RUNNING])
    text = generate_latest(metrics.registry).decode()
    counts = dict(re.findall(r'^transcription_jobs\{state="(\w+)"\} (\S+)$', text, re.MULTILINE))
    assert counts == {state.value: "0.0" for state in State} | {"Pending": "1.0", "Running": "2.0"}
