"""Prometheus metrics of the controller, each in one registry that __main__ serves."""

from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """No label ever names a transcription."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.reconciles = Counter("transcription_reconcile", "Reconciles by outcome.", ["result"], registry=registry)
        self.reconcile_seconds = Histogram(
            "transcription_reconcile_seconds", "Time that one reconcile took.", registry=registry
        )
        self.watch_events = Counter(
            "transcription_watch_events", "Watch events by kind and type.", ["kind", "type"], registry=registry
        )
        self.api_requests = Counter(
            "transcription_kubernetes_requests",
            "Requests to the Kubernetes API; code 0 means no answer.",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self.finished = Counter(
            "transcription_finished",
            "Transcriptions that ended, by state and reason.",
            ["state", "reason"],
            registry=registry,
        )
        self.deliveries = Counter(
            "transcription_callback_tries",
            "Tries of callbacks by status code; 0 means no answer.",
            ["code"],
            registry=registry,
        )
        self.queue_depth = Gauge("transcription_workqueue_depth", "Keys that wait for a runner.", registry=registry)
        self.live = Gauge("transcription_live", "Transcriptions that are not settled.", registry=registry)

    @classmethod
    def build(cls) -> Self:
        """Metrics in a registry of their own."""
        return cls(CollectorRegistry())

    def count_call(self, verb: str, resource: str, code: int) -> None:
        """One request to the Kubernetes API."""
        self.api_requests.labels(verb, resource, str(code)).inc()
