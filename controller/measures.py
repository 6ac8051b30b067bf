"""What a change of a transcription says to the metrics: two versions in, observations out. Called by the performer.

The states of all that are live are counted beside; __main__ has that done.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from controller.cache import Cache
from controller.conditions import final_state, is_running
from controller.metrics import Metrics
from crds.reasons import GPU_EXIT_CODES, PERMANENT_EXIT_CODES, REASONS, TRANSIENT_EXIT_CODES, Reason
from crds.transcriptionjob import FINAL_STATES, ConditionType, Failure, State, Status, Transcription

CLASSES = {"permanent": PERMANENT_EXIT_CODES, "transient": TRANSIENT_EXIT_CODES, "gpu": GPU_EXIT_CODES}
REPLACED = "PodReplaced"
STATES_SECONDS = 5
WAITING_STATES = (None, State.PENDING, State.QUEUED, State.STARTING)


def begin(metrics: Metrics) -> None:
    """Have every end stand at 0 before its first: Prometheus sees no rise in a series that begins with 1."""
    for reason in set(Reason) - {Reason.CANCELLED}:
        metrics.finished.labels(State.FAILED.value, reason.value)
        metrics.failures.labels(classify(Failure(reason=reason, message="", retryable=False)), reason.value)
    for state in FINAL_STATES:
        metrics.run_seconds.labels(state.value)
    for state in FINAL_STATES - {State.FAILED}:
        metrics.finished.labels(state.value, "")
    metrics.disruptions.labels(REPLACED)


def observe_transition(metrics: Metrics, before: Transcription, after: Transcription, now: datetime) -> None:
    """Count what has happened between two versions of one transcription, as the controller itself wrote them."""
    old, new = before.status, after.status
    if new.attempt > old.attempt:
        metrics.attempts.inc(new.attempt - old.attempt)
        if old.attempt == 0:
            metrics.queue_seconds.observe(_seconds(after.created, now))
    if new.attempt == 1 and old.start_time is None and is_running(new):
        metrics.start_latency.observe(_seconds(after.created, new.start_time or now))
    _observe_disruptions(metrics, old, new)
    state = final_state(new)
    if state is not None and final_state(old) is None:
        _observe_end(metrics, state, new, now)


async def keep_states_shown(metrics: Metrics, cache: Cache, clock: Callable[[], datetime]) -> NoReturn:
    """Count what is live now and then: the thread that serves the metrics may not look at what changes meanwhile."""
    while True:
        show_live(metrics, cache, clock())
        await asyncio.sleep(STATES_SECONDS)


def show_live(metrics: Metrics, cache: Cache, now: datetime) -> None:
    """The states of all, what they wait for, and who has waited or been silent longest."""
    live = list(cache.all())
    metrics.show_states(transcription.status.state for transcription in live)
    waiting = [transcription for transcription in live if transcription.status.state in WAITING_STATES]
    metrics.show_waits(transcription.status.waiting_reason or "" for transcription in waiting)
    metrics.longest_wait.set(max((_seconds(_waits_since(t), now) for t in waiting), default=0))
    heard = [cache.heard(t.name) or now for t in live if is_running(t.status)]
    metrics.longest_silence.set(max((_seconds(at, now) for at in heard), default=0))


def classify(failure: Failure) -> str:
    """permanent, transient or gpu by the worker's exit code; other when no exit code says."""
    code = failure.exit_code
    if code is None and failure.reason in set(Reason):
        code = REASONS[Reason(failure.reason)].exit_code
    return next((name for name, codes in CLASSES.items() if code in codes), "other")


def _waits_since(transcription: Transcription) -> datetime:
    """Since the request, or since the worker before was gone or a suspension ended."""
    marks = [transcription.status.condition(kind) for kind in (ConditionType.RUNNING, ConditionType.SUSPENDED)]
    return max([transcription.created, *(mark.last_transition_time for mark in marks if mark)])


def _observe_disruptions(metrics: Metrics, old: Status, new: Status) -> None:
    """`replacements` starts anew with each attempt."""
    base = old.replacements if new.attempt == old.attempt else 0
    more = new.replacements - base
    if more > 0:
        metrics.disruptions.labels(REPLACED).inc(more)


def _observe_end(metrics: Metrics, state: State, status: Status, now: datetime) -> None:
    failure = status.failure if state is State.FAILED else None
    metrics.finished.labels(state.value, failure.reason if failure else "").inc()
    if failure is not None:
        metrics.failures.labels(classify(failure), failure.reason).inc()
    if status.start_time is not None:
        ran = _seconds(status.start_time, status.completion_time or now)
        metrics.run_seconds.labels(state.value).observe(ran)
    if state is State.SUCCEEDED:
        _observe_audio(metrics, status)


def _observe_audio(metrics: Metrics, status: Status) -> None:
    """The speed is what the worker of this attempt reported last."""
    result, progress = status.result, status.progress
    if result is not None and result.duration_seconds:
        metrics.audio_seconds.inc(result.duration_seconds)
    if progress is not None and progress.attempt == status.attempt and progress.realtime_factor:
        metrics.realtime_factor.observe(progress.realtime_factor)


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
