"""What happens between two watches, two writes and two processes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from controller.handlers import take_job, take_transcription
from controller.outcome import build_failure
from controller.resync import Resync
from crds.reasons import Reason, WaitingReason
from crds.transcriptionjob import SETTLED_LABEL, CallbackRecord, CallbackState, State, Status
from tests.support.controller_fakes import NOW, POLICY, UID, Clock, a_pod, a_transcription, final
from tests.support.controller_operator import FakeCluster, Operator

LABELS = {SETTLED_LABEL: "true"}
DELIVERED = CallbackRecord(state=CallbackState.DELIVERED, id=f"msg_{UID}_1", attempts=1)
FAILED = final(
    State.FAILED,
    failure=build_failure(Reason.GPU_FAULT),
    settled=True,
    observed_generation=1,
    callback=DELIVERED,
)


async def see_job_go(operator: Operator, name: str) -> None:
    """The Job's watch says that it is gone; the transcriptions' watch is behind."""
    job = operator.cluster.jobs.pop(name)
    operator.cache.drop_job(job.name, job.uid)
    operator.loop.queue.add("clip")
    await operator.work()


def test_no_job_is_made_again_when_another_process_has_ended_it() -> None:
    cluster = FakeCluster(a_transcription())

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        await operator.settle_down()
        cluster.change_spec("clip", cancel=True)
        cluster.change_status("clip", **dict(final(State.CANCELLED, settled=True, callback=DELIVERED)))
        await see_job_go(operator, "clip-1")

    asyncio.run(scene())
    assert len(cluster.manifests) == 1
    assert cluster.jobs == {}


def test_no_job_is_made_again_when_its_transcription_was_deleted() -> None:
    cluster = FakeCluster(a_transcription())

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        await operator.settle_down()
        del cluster.transcriptions["clip"]
        await see_job_go(operator, "clip-1")
        assert len(operator.cache) == 0

    asyncio.run(scene())
    assert len(cluster.manifests) == 1


def test_job_is_made_again_when_a_person_has_deleted_it() -> None:
    cluster = FakeCluster(a_transcription())

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        await operator.settle_down()
        await see_job_go(operator, "clip-1")

    asyncio.run(scene())
    assert list(cluster.jobs) == ["clip-1"]
    assert len(cluster.manifests) == 2


def test_places_are_not_given_twice_while_a_start_is_on_its_way() -> None:
    cluster = FakeCluster(a_transcription(name="younger"))
    older = a_transcription(name="older").model_copy(update={"created": NOW - timedelta(hours=1)})
    patch_status = cluster.patch_status

    async def scene() -> None:
        operator = Operator(cluster, Clock(), max_active=1)
        on_its_way = asyncio.Event()

        async def patch_slowly(transcription: Any, patch: Any) -> Any:
            if transcription.name == "younger":
                on_its_way.set()
                for _ in range(20):
                    await asyncio.sleep(0)
            return await patch_status(transcription, patch)

        cluster.patch_status = patch_slowly  # type: ignore[method-assign]
        operator.show()
        first = asyncio.create_task(operator.loop.work_once())
        await on_its_way.wait()
        operator.cache.put(cluster.store(older))
        operator.loop.queue.add("older")
        await operator.loop.work_once()
        await first
        await operator.work()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["younger-1"]
    assert cluster.transcriptions["older"].status.waiting_reason == WaitingReason.NO_PLACE


def test_place_is_given_on_when_a_start_fails() -> None:
    older = a_transcription(name="older").model_copy(update={"created": NOW - timedelta(hours=1)})
    cluster = FakeCluster(older, a_transcription(name="younger"))

    async def scene() -> None:
        operator = Operator(cluster, Clock(), max_active=1)
        operator.show()
        cluster.change_spec("older", cancel=True)
        await operator.work()
        await operator.settle_down()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["younger-1"]


def test_retry_is_found_at_once_when_the_process_has_seen_it_leave_and_come_back() -> None:
    """The label came off between the watch's word that it is gone and the look at its key."""
    cluster = FakeCluster(a_transcription(cancel=True))

    async def scene() -> None:
        operator = Operator(cluster, Clock(), callback_url=None)
        await operator.settle_down()
        assert "clip" in operator.loop._parting
        gone = cluster.transcriptions["clip"]
        operator.cache.drop("clip", gone.uid)
        operator.loop.queue.add("clip")
        cluster.change_spec("clip", redeliveries=1)
        operator.show()
        await operator.work()
        assert "clip" in operator.loop._parting or cluster.transcriptions["clip"].labels == LABELS
        operator.show()
        await operator.work()
        assert operator.loop._parting == set()

    asyncio.run(scene())


def test_settled_one_is_not_taken_for_known_when_no_word_of_the_watch_comes() -> None:
    cluster = FakeCluster(a_transcription(FAILED, labels=LABELS))

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        operator.loop._parting.add("clip")
        operator.cache.put(cluster.transcriptions["clip"])
        operator.loop.queue.add("clip")
        await operator.work()
        cluster.change_spec("clip", retries=1, keeps_label=True)
        door: Any = cluster
        await Resync(door, operator.cache, operator.loop.queue, POLICY, 300, operator.clock).find_asked()
        await operator.work()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["clip-2"]


@pytest.mark.parametrize("order", ["transcription first", "job first"])
def test_nothing_is_written_when_both_watches_say_that_it_is_gone(order: str) -> None:
    cluster = FakeCluster(a_transcription())
    owner = {"name": "clip", "uid": UID, "controller": True}
    gone = {
        "type": "DELETED",
        "object": {
            "metadata": {
                "name": "clip-1",
                "uid": "job-uid",
                "resourceVersion": "999",
                "creationTimestamp": "2026-01-02T03:04:00Z",
                "labels": {"transcription.ecg.dev/name": "clip"},
                "ownerReferences": [owner],
            },
            "spec": {},
        },
    }
    meta = {
        "name": "clip",
        "namespace": "ns",
        "uid": UID,
        "resourceVersion": "998",
        "creationTimestamp": "2026-01-02T03:04:00Z",
    }
    spec = {"source": {"bucket": "media", "key": "videos/a.mp4"}}
    events: list[Any] = [(take_transcription, {"type": "DELETED", "object": {"metadata": meta, "spec": spec}})]
    events.insert(0 if order == "job first" else 1, (take_job, gone))

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        await operator.settle_down()
        written = len(cluster.writes)
        cluster.transcriptions.clear()
        cluster.jobs.clear()
        for take, event in events:
            take(operator.loop, event)
            await operator.work()
        assert len(cluster.writes) == written
        assert len(operator.cache) == 0

    asyncio.run(scene())


def test_silent_worker_is_replaced_when_its_time_comes_and_no_event_does() -> None:
    cluster, clock = FakeCluster(a_transcription()), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock)
        await operator.settle_down()
        cluster.change_job("clip-1", ready=1)
        cluster.pods["clip-1"] = (a_pod(is_ready=True, node="gpu-1"),)
        await operator.settle_down()
        clock.advance(299)
        await operator.work()
        assert list(cluster.jobs) == ["clip-1"]
        clock.advance(1)
        await operator.work()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["clip-2"]
    assert cluster.transcriptions["clip"].status == Status.model_validate(
        cluster.transcriptions["clip"].status.to_manifest()
    )
    assert cluster.transcriptions["clip"].status.avoid_nodes == ("gpu-1",)


def test_worker_is_given_its_time_by_a_new_process() -> None:
    cluster, clock = FakeCluster(a_transcription()), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock)
        await operator.settle_down()
        cluster.change_job("clip-1", ready=1)
        cluster.pods["clip-1"] = (a_pod(is_ready=True),)
        await operator.settle_down()
        clock.advance(3600)
        await Operator(cluster, clock).settle_down()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["clip-1"]
