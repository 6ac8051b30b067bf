"""The guide lists what the API measures, as it is."""

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from api.metrics import Metrics

GUIDE = Path(__file__).parents[3] / "docs/metrics.md"


def row(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    suffix = "_total" if family.type == "counter" else ""
    labels = f"{{{','.join(metric._labelnames)}}}" if metric._labelnames else ""
    return f"| `{family.name}{suffix}{labels}` | {family.type} | {family.documentation} |"


def rows_of(registry: CollectorRegistry) -> list[str]:
    return [row(metric) for metric in registry._collector_to_names if isinstance(metric, MetricWrapperBase)]


def test_the_guide_lists_every_metric_of_the_api_as_it_is() -> None:
    metrics = Metrics()
    metrics.follow(float, float)
    metrics.follow_keys(float)
    wanted = rows_of(metrics.registry)
    listed = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `transcription_api_")]
    assert listed == wanted, "\n" + "\n".join(wanted)
