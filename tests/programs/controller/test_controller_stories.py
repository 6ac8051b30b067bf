import asyncio
from collections.abc import Awaitable, Callable

import pytest

from crds.reasons import ExitCode, Reason
from crds.transcriptionjob import SETTLED_LABEL, CallbackRecord, CallbackState, State
from tests.support.controller_fakes import RESULT, UID, Clock, a_failed_pod, a_pod, a_transcription, an_outcome
from tests.support.controller_operator import Crash, FakeCluster, FakeOutbox, Operator

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


async def overrun(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await settle_down()
    cluster.change_job("clip-1", ready=1)
    cluster.pods["clip-1"] = (a_pod(is_ready=True),)
    await settle_down()
    cluster.pods["clip-1"] = (a_failed_pod(143, reason="DeadlineExceeded"),)
    cluster.change_job("clip-1", ready=0, failed=1)
    clock.advance(5)
    await settle_down()


async def retried_while_live(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await settle_down()
    cluster.change_job("clip-1", ready=1)
    cluster.change_spec("clip", retries=1)
    clock.advance(43200)
    await settle_down()
    clock.advance(43200)
    await settle_down()
    cluster.change_status("clip", result=RESULT, callback=DELIVERED)
    cluster.change_job("clip-2", ended="Complete")
    await settle_down()


async def retried(cluster: FakeCluster, clock: Clock, settle_down: Callable[[], Awaitable[None]]) -> None:
    await bad(cluster, clock, settle_down)
    cluster.change_spec("clip", retries=1)
    await settle_down()
    cluster.change_status("clip", result=RESULT, callback=DELIVERED)
    cluster.change_job("clip-2", ended="Complete")
    await settle_down()


STORIES: dict[str, tuple[Story, State, list[str]]] = {
    "good": (good, State.SUCCEEDED, ["status", "create", "status", "status", "label"]),
    "bad": (bad, State.FAILED, ["status", "create", "status", "status", "status", "label"]),
    "cancelled": (cancelled, State.CANCELLED, ["status", "create", "status", "status", "delete", "status", "label"]),
    "overrun": (overrun, State.FAILED, ["status", "create", "status", "status", "delete", "status", "label"]),
    "retried": (
        retried,
        State.SUCCEEDED,
        [
            *["status", "create", "status", "status", "status", "label"],
            *["status", "create", "status", "label"],
        ],
    ),
    "retried while live": (
        retried_while_live,
        State.SUCCEEDED,
        [
            *["status", "create", "status", "status", "delete"],
            *["status", "create", "status", "label"],
        ],
    ),
}
ORDERS = ["together", "jobs first", "transcriptions first"]


async def play(story: Story, cluster: FakeCluster, order: str = "together") -> list[str]:
    """The story, by one operator after the other: each Crash is followed by a new one that knows nothing."""
    clock = cluster.clock
    outbox = FakeOutbox(clock, 200)

    async def settle_down() -> None:
        for _ in range(2):
            operator = Operator(cluster, clock, outbox)
            try:
                await operator.settle_down(order)
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
    assert cluster.writes == writes
    assert cluster.left_over() == []
    assert len(sent) == {"good": 0, "bad": 1, "cancelled": 1, "overrun": 1, "retried": 1, "retried while live": 0}[name]


def test_good_story_takes_five_writes_of_the_controller() -> None:
    cluster = FakeCluster(a_transcription())
    asyncio.run(play(good, cluster))
    assert len(cluster.writes) == 5


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STORIES)
def test_end_is_the_same_when_it_dies_at_any_write(name: str, when: str, order: str) -> None:
    story = STORIES[name][0]
    calm = FakeCluster(a_transcription())
    asyncio.run(play(story, calm))
    for number in range(len(calm.writes)):
        cluster = FakeCluster(a_transcription())
        cluster.crash_at = (number, when)
        asyncio.run(play(story, cluster, order))
        assert cluster.crash_at is None
        assert cluster.left_over() == []
        assert cluster.transcriptions["clip"].status == calm.transcriptions["clip"].status, number
        assert cluster.transcriptions["clip"].labels == calm.transcriptions["clip"].labels, number
        assert cluster.jobs.keys() == calm.jobs.keys(), number
        assert [m["metadata"]["name"] for m in cluster.manifests] == [m["metadata"]["name"] for m in calm.manifests]
