"""What Prometheus may ask: requests, calls to the systems around, the cache. Never an id in a label.

Made by __main__ (or app), given to observe and, as `note_call`, to both doors.
"""

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

System = Literal["s3", "kubernetes"]


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = self._counter("requests", "Requests answered.", "method", "route", "status")
        self._latency = self._histogram(
            "request_seconds", "Time until the first byte of the answer.", "method", "route"
        )
        self._calls = self._counter("calls", "Calls to S3 and Kubernetes.", "system", "operation", "outcome")
        self._call_seconds = self._histogram(
            "call_seconds", "Time that calls to S3 and Kubernetes took.", "system", "operation"
        )
        self._open = 0
        requests = self._gauge("open_requests", "Requests that are being answered, event streams among them.")
        requests.set_function(lambda: self._open)

    def follow(self, age_seconds: Callable[[], float], live_jobs: Callable[[], float]) -> None:
        """Show the state of the cache too; asked anew each time that Prometheus asks."""
        age = self._gauge("cache_age_seconds", "Time since the API server last said anything to the watch.")
        age.set_function(age_seconds)
        self._gauge("live_jobs", "Transcriptions that have not ended.").set_function(live_jobs)

    def follow_keys(self, age_seconds: Callable[[], float]) -> None:
        """Show how current the API keys are; the file is looked at each time that Prometheus asks."""
        age = self._gauge("keys_file_age_seconds", "Time since the file of API keys was last seen in order.")
        age.set_function(age_seconds)

    def open(self) -> None:
        """Note that a request has come."""
        self._open += 1

    def close(self) -> None:
        """Note that nothing is left to send to it."""
        self._open -= 1

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        counter, latency = self._find(method if method in METHODS else "other", route, status)
        counter.inc()
        latency.observe(seconds)

    def _find(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """Kept, because asking the library for them costs as much as routing a request."""
        found = self._children.get((method, route, status))
        if found is None:
            found = self._requests.labels(method, route, str(status)), self._latency.labels(method, route)
            self._children[method, route, status] = found
        return found

    def note_call(self, system: System, operation: str, outcome: str, seconds: float) -> None:
        """Note one call to another system; operation and outcome are words of the door's code, nothing from outside."""
        self._calls.labels(system, operation, outcome).inc()
        self._call_seconds.labels(system, operation).observe(seconds)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"transcription_api_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"transcription_api_{name}", text, labels, buckets=BUCKETS, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"transcription_api_{name}", text, registry=self.registry)
