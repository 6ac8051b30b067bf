"""Prometheus metrics of the controller, all in one registry that __main__ serves; docs/metrics.md lists them."""

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from crds.reasons import WaitingReason
from crds.transcriptionjob import State

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LONG = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
FACTORS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """No label ever names a transcription."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._build_those_of_transcriptions()
        self._build_those_of_the_loop()
        self._build_those_of_the_process()

    @classmethod
    def build(cls) -> Self:
        """Metrics in a registry of their own."""
        return cls(CollectorRegistry())

    def _build_those_of_transcriptions(self) -> None:
        self.jobs = self._gauge("jobs", "Transcriptions that are not settled, by state.", "state")
        self.live = self._gauge("live", "Transcriptions that are not settled.")
        self.waiting = self._gauge("waiting", "Transcriptions that wait, by what they wait for.", "reason")
        self.longest_wait = self._gauge(
            "longest_wait_seconds", "How long the one that waits longest has waited for a running worker."
        )
        self.longest_silence = self._gauge(
            "longest_silence_seconds", "How long the quietest of the running workers has given no sign of life."
        )
        self.queue_seconds = self._histogram(
            "job_queue_seconds", "From the request to the first Job: the wait for a place.", LONG
        )
        self.start_latency = self._histogram(
            "job_start_latency_seconds", "From the request to the first running worker.", LONG
        )
        self.run_seconds = self._histogram(
            "job_run_seconds", "From the running worker to the end, by final state.", LONG, "state"
        )
        self.audio_seconds = self._counter("audio_seconds", "Seconds of audio that were transcribed.")
        self.realtime_factor = self._histogram(
            "realtime_factor", "Seconds of audio for each second, as workers that succeeded reported it last.", FACTORS
        )
        self.finished = self._counter("finished", "Transcriptions that ended, by state and reason.", "state", "reason")
        self.failures = self._counter(
            "failures", "Transcriptions that failed; class is that of the worker's exit code.", "class", "reason"
        )
        self.attempts = self._counter("attempts", "Attempts that were begun: a Job each.")
        self.disruptions = self._counter(
            "disruptions", "Workers that were replaced within their attempt, by reason.", "reason"
        )
        self.deliveries = self._counter(
            "callback_tries", "Tries of callbacks by status code; 0 means no answer.", "code"
        )

    def _build_those_of_the_loop(self) -> None:
        self.reconciles = self._counter("reconcile", "Reconciles by outcome.", "result")
        self.reconcile_seconds = self._histogram("reconcile_seconds", "Time that one reconcile took.", SHORT)
        self.queue_depth = self._gauge("workqueue_depth", "Keys that wait for a runner.")
        self.queue_wait = self._histogram("workqueue_wait_seconds", "Time that a key waited for a runner.", SHORT)
        self.watch_events = self._counter(
            "watch_events", "What the watches have shown by kind and type, bookmarks too.", "kind", "type"
        )
        self.watch_idle = self._gauge(
            "watch_idle_seconds", "Time since the watch has shown anything, bookmarks too.", "kind"
        )
        self.relists = self._counter("relists", "Full lists that watches began with, by kind.", "kind")
        self.api_requests = self._counter(
            "kubernetes_requests", "Requests to the Kubernetes API; code 0 means no answer.", "verb", "resource", "code"
        )

    def _build_those_of_the_process(self) -> None:
        self.loop_lag = self._gauge("event_loop_lag_seconds", "The latest that the event loop came in the last minute.")
        self.leader = self._gauge("leader", "1 while this process works, 0 while it stands by.")

    def count_call(self, verb: str, resource: str, code: int) -> None:
        """One request to the Kubernetes API."""
        self.api_requests.labels(verb, resource, str(code)).inc()

    def show_states(self, states: Iterable[State | None]) -> None:
        """The states of all that are live; none yet counts as Pending."""
        counts = Tally(state or State.PENDING for state in states)
        for state in State:
            self.jobs.labels(state.value).set(counts[state])

    def show_waits(self, reasons: Iterable[str]) -> None:
        """What those wait for that do not run yet."""
        counts = Tally(reasons)
        for reason in WaitingReason:
            self.waiting.labels(reason.value).set(counts[reason])

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"transcription_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"transcription_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"transcription_{name}", text, labels, buckets=buckets, registry=self.registry)
