"""What Prometheus may ask: requests and latency by route template, and the age of the cache. Never an id in a label."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self, cache_age_seconds: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("transcription_api_requests", "Requests answered.", labels, registry=self.registry)
        self._latency = Histogram(
            "transcription_api_request_seconds",
            "Time until the answer was sent.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        age = Gauge(
            "transcription_api_cache_age_seconds",
            "Time since the API server last said anything to the watch.",
            registry=self.registry,
        )
        age.set_function(cache_age_seconds)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        return generate_latest(self.registry)
