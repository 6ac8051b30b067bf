import asyncio
from datetime import timedelta
from typing import Any

import pytest

from controller.errors import NameTakenError, QuotaError, RefusedError, TransientError
from controller.handlers import take_job, take_transcription
from controller.outcome import build_failure
from crds.reasons import Reason, WaitingReason
from crds.transcriptionjob import SETTLED_LABEL, CallbackRecord, CallbackState, State, Status, Transcription
from tests.support.controller_fakes import NOW, RESULT, UID, Clock, a_job, a_transcription, final
from tests.support.controller_operator import FakeCluster, FakeOutbox, Operator

DELIVERED = CallbackRecord(state=CallbackState.DELIVERED, id=f"msg_{UID}_1", attempts=1)
FAILED = final(State.FAILED, failure=build_failure(Reason.GPU_FAULT), settled=True, observed_generation=1)
STORED = Status(attempt=1, result=RESULT, callback=DELIVERED)
LABELS = {SETTLED_LABEL: "true"}


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


def test_expired_transcription_is_deleted_when_the_watch_says_that_it_left_before_the_answer_does() -> None:
    cluster = FakeCluster(a_transcription(cancel=True, ttlSecondsAfterFinished=60))

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        settle = cluster.settle

        async def settle_and_show(transcription: Transcription) -> Transcription:
            settled = await settle(transcription)
            operator.show()
            return settled

        cluster.settle = settle_and_show  # type: ignore[method-assign]
        await operator.settle_down()
        operator.clock.advance(61)
        await operator.work()

    asyncio.run(scene())
    assert cluster.writes[-2:] == ["label", "remove"]


def test_unreadable_transcription_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    operator = run(FakeCluster())
    broken: Any = {"type": "ADDED", "object": {"metadata": {"namespace": "ns", "name": "clip"}, "spec": {}}}
    take_transcription(operator.loop, broken)
    assert operator.cache.get("clip") is None
    assert caplog.records[0].__dict__["transcription"] == "ns/clip"


def test_job_that_makes_no_sense_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    operator = run(FakeCluster())
    broken: Any = {"type": "ADDED", "object": {"metadata": {"namespace": "ns", "name": "clip-1"}, "spec": {}}}
    take_job(operator.loop, broken)
    assert operator.cache.get_job("clip-1") is None
    assert caplog.records[0].__dict__["job"] == "clip-1"


@pytest.mark.parametrize(("job", "writes"), [(a_job(ready=1), ["delete"]), (a_job(ended="Failed"), [])])
def test_live_job_is_removed_when_its_settled_transcription_has_left_the_watch(job: Any, writes: list[str]) -> None:
    cluster = FakeCluster(a_transcription(FAILED, labels=LABELS))
    cluster.jobs["clip-1"] = job
    operator = run(cluster)
    assert cluster.writes == writes
    assert len(operator.cache) == 0


def test_nothing_is_read_when_a_key_without_jobs_comes() -> None:
    cluster = FakeCluster(a_transcription(FAILED, labels=LABELS))
    run(cluster)
    assert cluster.reads == []


def test_nothing_is_decided_before_all_live_ones_are_listed() -> None:
    older = a_transcription(final(State.FAILED).model_copy(update={"conditions": ()}), name="running")
    cluster = FakeCluster(a_transcription(name="new"), older)

    async def scene() -> None:
        operator = Operator(cluster, Clock(), max_active=1)
        operator.cache.put(cluster.transcriptions["new"])
        operator.loop.queue.add("new")
        runner = asyncio.create_task(operator.loop.run())
        for _ in range(50):
            await asyncio.sleep(0)
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)

    asyncio.run(scene())
    assert cluster.transcriptions["new"].status.waiting_reason == WaitingReason.NO_PLACE


@pytest.mark.parametrize("how", ["deleted", "deleted with its job", "being deleted"])
def test_next_one_starts_when_the_active_one_is_deleted(how: str) -> None:
    older = a_transcription(name="older").model_copy(update={"created": NOW - timedelta(hours=1)})
    cluster, clock = FakeCluster(a_transcription(name="younger"), older), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock, max_active=1)
        await operator.settle_down()
        assert list(cluster.jobs) == ["older-1"]
        if how.startswith("deleted"):
            operator.cache.drop("older", cluster.transcriptions.pop("older").uid)
            if how == "deleted with its job":
                operator.cache.drop_job("older-1", "job-uid")
        else:
            leaving = cluster.store(cluster.transcriptions["older"].model_copy(update={"is_deleting": True}))
            operator.cache.put(leaving)
        operator.loop.queue.add("older")
        await operator.work()

    asyncio.run(scene())
    assert "younger-1" in cluster.jobs


def test_retry_waits_in_line_when_all_places_are_taken() -> None:
    cluster, clock = FakeCluster(a_transcription(FAILED), a_transcription(name="other")), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock, max_active=1, callback_url=None)
        cluster.change_spec("clip", cancel=False)
        await operator.settle_down()
        assert list(cluster.jobs) == ["other-1"]
        cluster.change_spec("clip", retries=1)
        await operator.settle_down()
        assert list(cluster.jobs) == ["other-1"]
        cluster.change_status("other", result=RESULT)
        cluster.change_job("other-1", ended="Complete")
        await operator.settle_down()

    asyncio.run(scene())
    assert list(cluster.jobs) == ["other-1", "clip-2"]


def test_one_that_is_being_deleted_takes_no_place_in_line() -> None:
    leaving = a_transcription(name="leaving").model_copy(
        update={"created": NOW - timedelta(hours=1), "is_deleting": True}
    )
    cluster = FakeCluster(leaving, a_transcription(name="staying"))
    run(cluster, max_active=1)
    assert list(cluster.jobs) == ["staying-1"]
