import asyncio
from datetime import timedelta
from typing import Any

from controller.delivery import build_record
from controller.outcome import build_failure
from controller.resync import Resync
from crds.reasons import Reason
from crds.transcriptionjob import SETTLED_LABEL, CallbackRecord, CallbackState, State, Status
from tests.support.controller_fakes import NOW, POLICY, UID, Clock, a_job, a_pod, a_transcription, final
from tests.support.controller_operator import FakeCluster, Operator

DELIVERED = CallbackRecord(state=CallbackState.DELIVERED, id=f"msg_{UID}_1", attempts=1)
FAILED = final(State.FAILED, failure=build_failure(Reason.GPU_FAULT), settled=True, observed_generation=1)
LABELS = {SETTLED_LABEL: "true"}


def relist(operator: Operator) -> Resync:
    door: Any = operator.cluster
    return Resync(door, operator.cache, operator.loop.queue, POLICY, 300, operator.clock)


def find_asked(cluster: FakeCluster, **settings: Any) -> Operator:
    async def scene() -> Operator:
        operator = Operator(cluster, Clock(), **settings)
        await relist(operator).find_asked()
        await operator.work()
        return operator

    return asyncio.run(scene())


def test_retry_is_found_when_nobody_took_the_label_off() -> None:
    cluster = FakeCluster(a_transcription(FAILED, labels=LABELS))
    cluster.change_spec("clip", retries=1, keeps_label=True)
    operator = find_asked(cluster)
    assert cluster.writes == ["unlabel", "status", "create"]
    assert list(cluster.jobs) == ["clip-2"]
    assert len(operator.cache) == 1


def test_redelivery_is_found_when_nobody_took_the_label_off() -> None:
    told = FAILED.model_copy(
        update={
            "callback": build_record(f"msg_{UID}_1", NOW).model_copy(
                update={"state": CallbackState.DELIVERED, "next_attempt_time": None}
            )
        }
    )
    cluster = FakeCluster(a_transcription(told, labels=LABELS))
    cluster.change_spec("clip", redeliveries=1, keeps_label=True)
    operator = find_asked(cluster)
    assert cluster.writes == ["unlabel", "status", "status", "label"]
    post: Any = operator.outbox
    assert post.sent == [f"msg_{UID}_1"]


def test_settled_one_leaves_the_cache_when_its_change_asks_for_nothing() -> None:
    told = FAILED.model_copy(update={"callback": DELIVERED})
    cluster = FakeCluster(a_transcription(told, labels=LABELS))
    cluster.change_spec("clip", priority="high", keeps_label=True)
    operator = find_asked(cluster)
    assert cluster.writes == ["status"]
    assert cluster.transcriptions["clip"].status.observed_generation == 2
    assert len(operator.cache) == 0


def test_pods_of_those_at_work_are_not_asked_for_one_by_one_when_all_are_listed() -> None:
    async def scene() -> FakeCluster:
        cluster = FakeCluster(a_transcription(Status(attempt=1)), a_transcription(Status(attempt=1), name="other"))
        for name, ready in (("clip", 1), ("other", 0)):
            created = NOW - timedelta(minutes=1)
            cluster.jobs[f"{name}-1"] = a_job(name=f"{name}-1", owner_name=name, uid=name, ready=ready, created=created)
            cluster.pods[f"{name}-1"] = (a_pod(name=f"{name}-1-pod", is_ready=bool(ready)),)
        operator = Operator(cluster, Clock())
        await relist(operator).relist()
        await operator.work()
        return cluster

    cluster = asyncio.run(scene())
    assert cluster.transcriptions["clip"].status.pod_name == "clip-1-pod"
    assert cluster.reads == ["pods of other-1"]


def test_pods_are_asked_for_when_their_job_has_changed_while_all_were_listed() -> None:
    cluster = FakeCluster(a_transcription(Status(attempt=1)))
    job = cluster.jobs["clip-1"] = a_job(ready=0)
    cache = Operator(cluster, Clock()).cache
    cache.put_job(job)
    versions = cache.job_versions()
    changed = cluster.change_job("clip-1", ready=1)
    cache.put_job(changed)
    cache.keep_pods(versions, {job.uid: ()})
    assert cache.take_pods(changed) is None


def test_name_is_kept_when_it_was_made_again_during_the_list() -> None:
    old = a_transcription()
    new = old.model_copy(update={"uid": "new", "resource_version": "200"})
    cluster = FakeCluster()

    async def scene() -> None:
        operator = Operator(cluster, Clock())
        operator.cache.put(old)
        resync = relist(operator)

        async def list_live() -> Any:
            operator.cache.put(new)
            for transcription in ():
                yield transcription

        cluster.list_live = list_live  # type: ignore[method-assign]
        await resync.relist()
        assert operator.cache.get("clip") == new

    asyncio.run(scene())


def test_one_that_is_gone_is_forgotten_when_all_are_listed() -> None:
    async def scene() -> None:
        operator = Operator(FakeCluster(a_transcription(name="there")), Clock())
        operator.cache.put(a_transcription(name="gone"))
        await relist(operator).relist()
        assert {name for name, _ in operator.cache.known()} == {"there"}

    asyncio.run(scene())
