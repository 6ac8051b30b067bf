import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from controller_fakes import (
    NOW,
    RESULT,
    UID,
    Clock,
    Crash,
    FakeCluster,
    FakeOutbox,
    Operator,
    a_failed_pod,
    a_pod,
    a_transcription,
    an_outcome,
)

from controller.errors import NameTakenError, QuotaError, RefusedError, TransientError
from controller.handlers import take_transcription
from crds.reasons import ExitCode, Reason, WaitingReason
from crds.transcriptionjob import SETTLED_LABEL, CallbackRecord, CallbackState, State

DELIVERED = CallbackRecord(state=CallbackState.DELIVERED, id=f"msg_{UID}_1", attempts=1)
Story = Callable[[FakeCluster, Clock, Callable[[], Awaitable[None]]], Awaitable[None]]


async def good(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await settle_down()
    cluster.change_job("clip-1", ready=1)
    cluster.pods["clip-1"] = (a_pod(is_ready=True),)
    clock.advance(5)
    await settle_down()
    cluster.change_status("clip", result=RESULT, callback=DELIVERED)
    cluster.change_job("clip-1", ready=0, ended="Complete")
    clock.advance(5)
    await settle_down()


async def bad(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await settle_down()
    cluster.change_job("clip-1", ready=1)
    cluster.pods["clip-1"] = (a_pod(is_ready=True),)
    await settle_down()
    fault = an_outcome(reason=Reason.NO_AUDIO, message="The file has no sound.")
    cluster.pods["clip-1"] = (a_failed_pod(int(ExitCode.BAD_MEDIA), termination_message=fault),)
    cluster.change_job("clip-1", ready=0, failed=1, ended="Failed", ended_reason="PodFailurePolicy")
    clock.advance(5)
    await settle_down()


async def cancelled(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await settle_down()
    cluster.change_job("clip-1", ready=1)
    await settle_down()
    cluster.change_spec("clip", cancel=True)
    clock.advance(5)
    await settle_down()


async def retried(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await bad(cluster, clock, settle_down)
    cluster.change_spec("clip", retries=1)
    await settle_down()
    cluster.change_status("clip", result=RESULT, callback=DELIVERED)
    cluster.change_job("clip-2", ended="Complete")
    await settle_down()


STORIES: dict[str, tuple[Story, State, list[str]]] = {
    "good": (good, State.SUCCEEDED, ["status", "create", "status", "status", "expire", "label"]),
    "bad": (bad, State.FAILED, ["status", "create", "status", "status", "expire", "status", "label"]),
    "cancelled": (cancelled, State.CANCELLED, ["status", "create", "status", "delete", "status", "status", "label"]),
    "retried": (retried, State.SUCCEEDED, []),
}


async def play(story: Story, cluster: FakeCluster) -> list[str]:
    """The story, by one operator after the other: each Crash is followed by a new one that knows nothing."""
    clock = Clock()
    outbox = FakeOutbox(clock, 200)

    async def settle_down() -> None:
        for _ in range(2):
            operator = Operator(cluster, clock, outbox)
            try:
                await operator.settle_down()
            except Crash:
                cluster.has_crashed = False
            else:
                return

    await story(cluster, clock, settle_down)
    return outbox.sent


@pytest.mark.parametrize("name", STORIES)
def test_story_ends_well_when_nothing_dies(name: str) -> None:
    story, state, writes = STORIES[name]
    cluster = FakeCluster(a_transcription())
    sent = asyncio.run(play(story, cluster))
    end = cluster.transcriptions["clip"]
    assert end.status.state is state
    assert end.status.settled
    assert end.labels[SETTLED_LABEL] == "true"
    assert writes in ([], cluster.writes)
    assert len(sent) == {"good": 0, "bad": 1, "cancelled": 1, "retried": 1}[name]


def test_good_story_takes_six_writes_of_the_controller() -> None:
    cluster = FakeCluster(a_transcription())
    asyncio.run(play(good, cluster))
    assert len(cluster.writes) + len(["result with its row", "row delivered"]) <= 8


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STORIES)
def test_end_is_the_same_when_it_dies_at_any_write(name: str, when: str) -> None:
    story = STORIES[name][0]
    calm = FakeCluster(a_transcription())
    asyncio.run(play(story, calm))
    for number in range(len(calm.writes)):
        cluster = FakeCluster(a_transcription())
        cluster.crash_at = (number, when)
        asyncio.run(play(story, cluster))
        assert cluster.crash_at is None
        assert cluster.transcriptions["clip"].status == calm.transcriptions["clip"].status, number
        assert cluster.transcriptions["clip"].labels == calm.transcriptions["clip"].labels, number
        assert cluster.jobs.keys() == calm.jobs.keys(), number
        assert [m["metadata"]["name"] for m in cluster.manifests] == [m["metadata"]["name"] for m in calm.manifests]


def run(cluster: FakeCluster, clock: Clock | None = None, **settings: Any) -> Operator:
    async def start() -> Operator:
        operator = Operator(cluster, clock or Clock(), **settings)
        await operator.settle_down()
        return operator

    return asyncio.run(start())


def test_fresh_copy_is_read_when_the_cached_one_is_stale() -> None:
    cluster = FakeCluster(a_transcription())

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        operator.show()
        cluster.change_status("clip", message="changed by another")
        await operator.loop.work_once()
        assert operator.cache.get("clip") == cluster.transcriptions["clip"]
        operator.clock.advance(1)
        await operator.settle_down()

    asyncio.run(scene())
    assert cluster.writes == ["status", "create"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(NameTakenError("clip-1"), Reason.NAME_CONFLICT), (RefusedError("no"), Reason.JOB_REFUSED)],
)
def test_transcription_fails_when_the_cluster_refuses_the_job(error: Exception, reason: Reason) -> None:
    cluster = FakeCluster(a_transcription())
    cluster.refusal = error
    run(cluster)
    failure = cluster.transcriptions["clip"].status.failure
    assert failure is not None
    assert failure.reason == reason


def test_transcription_waits_when_the_quota_is_used_up() -> None:
    cluster, clock = FakeCluster(a_transcription()), Clock()
    cluster.refusal = QuotaError("exceeded quota")

    async def scene() -> None:
        operator = Operator(cluster, clock)
        await operator.settle_down()
        status = cluster.transcriptions["clip"].status
        assert (status.state, status.waiting_reason) == (State.QUEUED, WaitingReason.QUOTA)
        cluster.refusal = None
        clock.advance(31)
        operator.loop.queue.release_due()
        await operator.loop.work_once()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["clip-1"]


def test_key_comes_again_after_a_pause_when_the_api_is_away() -> None:
    cluster, clock = FakeCluster(a_transcription()), Clock()
    cluster.refusal = TransientError("away")

    async def scene() -> None:
        operator = Operator(cluster, clock)
        await operator.settle_down()
        assert cluster.jobs == {}
        cluster.refusal = None
        clock.advance(1)
        operator.loop.queue.release_due()
        await operator.loop.work_once()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["clip-1"]


def test_one_starts_when_only_one_may_and_the_next_when_it_is_over() -> None:
    older = a_transcription(name="older").model_copy(update={"uid": UID, "created": NOW - timedelta(hours=1)})
    cluster, clock = FakeCluster(a_transcription(name="younger"), older), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock, max_active=1)
        await operator.settle_down()
        assert list(cluster.jobs) == ["older-1"]
        assert cluster.transcriptions["younger"].status.waiting_reason == WaitingReason.NO_PLACE
        cluster.change_status("older", result=RESULT, callback=DELIVERED)
        cluster.change_job("older-1", ended="Complete")
        operator.cache.put_job(cluster.jobs["older-1"])
        operator.cache.put(cluster.transcriptions["older"])
        operator.loop.queue.add("older")
        for _ in range(2):
            await operator.loop.work_once()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["older-1", "younger-1"]


def test_callback_is_given_up_when_the_receiver_never_takes_it() -> None:
    cluster, clock = FakeCluster(a_transcription(cancel=True)), Clock()
    outbox = FakeOutbox(clock, 500)

    async def scene() -> None:
        operator = Operator(cluster, clock, outbox, callback_retry_schedule=(5, 60))
        for seconds in (0, 5, 60, 60):
            clock.advance(seconds)
            await operator.settle_down()

    asyncio.run(scene())
    status = cluster.transcriptions["clip"].status
    assert status.callback is not None
    assert (status.callback.state, status.callback.attempts) == (CallbackState.FAILED, 3)
    assert status.settled
    assert outbox.sent == [f"msg_{UID}_0"] * 3


def test_unreadable_transcription_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    operator = run(FakeCluster())
    broken: Any = {"type": "ADDED", "object": {"metadata": {"namespace": "ns", "name": "clip"}, "spec": {}}}
    take_transcription(operator.loop, broken)
    assert operator.cache.get("clip") is None
    assert caplog.records[0].__dict__["transcription"] == "ns/clip"
