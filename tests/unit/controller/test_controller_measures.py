import asyncio
from datetime import timedelta
from typing import Any

import pytest

from controller.cache import Cache
from controller.conditions import enter
from controller.measures import begin, classify, keep_states_shown, observe_transition, show_live
from controller.metrics import Metrics
from crds.reasons import ExitCode, Reason
from crds.transcriptionjob import Failure, Progress, State, Transcription
from tests.support.controller_fakes import NOW, RESULT, Clock, a_transcription
from tests.support.controller_operator import FakeCluster, Operator

CREATED = a_transcription().created
LATER = CREATED + timedelta(seconds=90)


def in_state(state: State, attempt: int = 1, **changes: Any) -> Transcription:
    status = enter(a_transcription(), state, "a sentence", "a reason", NOW)
    return a_transcription(status.model_copy(update={"attempt": attempt} | changes))


def observed(before: Transcription, after: Transcription) -> dict[str, float]:
    """Every sample that is not zero, without buckets and times of birth."""
    metrics = Metrics.build()
    observe_transition(metrics, before, after, LATER)
    return {
        sample.name.removeprefix("transcription_")
        + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


def ends(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.endswith(("finished_total", "failures_total", "run_seconds_count"))
    }


def a_failure(reason: str, exit_code: int | None = None) -> Failure:
    return Failure(reason=reason, message="a sentence", retryable=True, exit_code=exit_code)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_end_has_stood_at_zero_when_it_is_the_first_of_its_kind(state: State) -> None:
    metrics = Metrics.build()
    begin(metrics)
    before = ends(metrics)
    assert set(before.values()) == {0}
    failure = a_failure(Reason.UNSUPPORTED_MEDIA, ExitCode.BAD_MEDIA) if state is State.FAILED else None
    running = in_state(State.RUNNING, start_time=CREATED)
    observe_transition(metrics, running, in_state(state, start_time=CREATED, failure=failure), LATER)
    after = ends(metrics)
    assert after.keys() == before.keys()
    assert sum(after.values()) == (3 if failure else 2)


def test_the_wait_for_a_place_ends_with_the_first_attempt() -> None:
    before, after = a_transcription(), in_state(State.PENDING)
    assert observed(before, after) == {"attempts_total": 1, "job_queue_seconds_count": 1, "job_queue_seconds_sum": 90}


def test_a_retry_is_an_attempt_and_no_wait() -> None:
    before = in_state(State.FAILED, failure=a_failure(Reason.GPU_FAULT))
    assert observed(before, in_state(State.PENDING, 2)) == {"attempts_total": 1}


def test_a_worker_has_started_when_it_is_first_seen_running() -> None:
    running = in_state(State.RUNNING, start_time=CREATED + timedelta(seconds=30))
    assert observed(in_state(State.STARTING), running) == {
        "job_start_latency_seconds_count": 1,
        "job_start_latency_seconds_sum": 30,
    }
    assert observed(running, running) == {}
    second = in_state(State.RUNNING, 2, start_time=LATER)
    assert observed(in_state(State.STARTING, 2), second) == {}


def test_a_success_is_measured_by_its_audio_and_its_run() -> None:
    progress = Progress(podUID="pod", attempt=1, realtime_factor=8.5)
    result = RESULT.model_copy(update={"duration_seconds": 300.0})
    start = {"start_time": CREATED + timedelta(seconds=30)}
    after = in_state(State.SUCCEEDED, **start, completion_time=LATER, result=result, progress=progress)
    assert observed(in_state(State.RUNNING, **start), after) == {
        "finished_total Succeeded ": 1,
        "audio_seconds_total": 300,
        "realtime_factor_count": 1,
        "realtime_factor_sum": 8.5,
        "job_run_seconds_count Succeeded": 1,
        "job_run_seconds_sum Succeeded": 60,
    }


def test_the_speed_of_an_earlier_attempt_does_not_count() -> None:
    progress = Progress(podUID="pod", attempt=1, realtime_factor=8.5)
    after = in_state(State.SUCCEEDED, 2, result=RESULT, progress=progress)
    assert observed(in_state(State.STARTING, 2), after) == {"finished_total Succeeded ": 1}


def test_a_failure_is_counted_by_class_and_reason() -> None:
    after = in_state(State.FAILED, failure=a_failure(Reason.NO_AUDIO))
    assert observed(in_state(State.STARTING), after) == {
        "finished_total Failed NoAudio": 1,
        "failures_total permanent NoAudio": 1,
    }


def test_a_cancellation_is_no_failure() -> None:
    assert observed(in_state(State.RUNNING), in_state(State.CANCELLED)) == {"finished_total Cancelled ": 1}


def test_the_end_is_counted_once_though_the_status_goes_on_changing() -> None:
    ended = in_state(State.FAILED, failure=a_failure(Reason.NO_AUDIO))
    assert observed(ended, in_state(State.FAILED, failure=a_failure(Reason.NO_AUDIO), settled=True)) == {}


def test_replaced_workers_are_disruptions_of_their_attempt() -> None:
    def after(attempt: int, replacements: int) -> Transcription:
        return in_state(State.STARTING, attempt, replacements=replacements)

    assert observed(after(1, 1), after(1, 3)) == {"disruptions_total PodReplaced": 2}
    assert observed(after(1, 3), after(2, 0)) == {"attempts_total": 1}
    assert observed(after(1, 3), after(2, 1)) == {"attempts_total": 1, "disruptions_total PodReplaced": 1}


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (a_failure(Reason.INPUT_CHANGED), "permanent"),
        (a_failure(Reason.WORKER_FAILED, ExitCode.INTERNAL), "transient"),
        (a_failure(Reason.GPU_OUT_OF_MEMORY), "gpu"),
        (a_failure(Reason.OUT_OF_MEMORY, 137), "other"),
        (a_failure(Reason.RUN_DEADLINE_EXCEEDED), "other"),
        (a_failure("OfANewerVersion"), "other"),
    ],
)
def test_the_class_is_that_of_the_exit_code(failure: Failure, name: str) -> None:
    assert classify(failure) == name


def test_the_operator_measures_what_it_does() -> None:
    operator = Operator(FakeCluster(a_transcription()), Clock())
    metrics = operator.loop._metrics

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"transcription_{name}", labels)

    async def story() -> None:
        await operator.settle_down()
        showing = asyncio.create_task(keep_states_shown(metrics, operator.cache, Clock()))
        await asyncio.sleep(0)
        showing.cancel()

    asyncio.run(story())
    assert value("attempts_total") == 1
    assert value("workqueue_wait_seconds_count") == value("reconcile_total", result="ok")
    assert value("jobs", state="Pending") == 1


def shown(*live: Transcription, after_seconds: int) -> dict[str, float]:
    """What the gauges say of those, so long after they came into this state."""
    metrics, cache = Metrics.build(), Cache(lambda: NOW)
    for transcription in live:
        cache.put(transcription)
    show_live(metrics, cache, NOW + timedelta(seconds=after_seconds))
    return {
        sample.name.removeprefix("transcription_")
        + "".join(f" {label}" for label in sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.value and sample.name.startswith(("transcription_waiting", "transcription_longest"))
    }


def test_the_longest_wait_is_shown_with_its_reason() -> None:
    waiting = in_state(State.QUEUED, waiting_reason="Unschedulable")
    assert shown(waiting, after_seconds=70) == {"waiting Unschedulable": 1, "longest_wait_seconds": 70}


def test_the_longest_silence_is_that_of_a_running_worker() -> None:
    assert shown(in_state(State.RUNNING), after_seconds=70) == {"longest_silence_seconds": 70}


@pytest.mark.parametrize("state", [State.SUSPENDED, State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_nobody_waits_when_all_rest_or_have_ended(state: State) -> None:
    assert shown(in_state(state), after_seconds=70) == {}
