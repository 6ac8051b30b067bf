"""How long a finished transcription stays, and what goes before it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.decision import Decision, DeleteJob, DeleteOutputs, ReleaseOutputs
from controller.delivery import build_record
from controller.outcome import build_failure
from controller.reconcile import decide
from controller.retention import is_expired
from controller.views import JobView, PodView
from crds.reasons import Reason
from crds.transcriptionjob import OUTPUTS_FINALIZER, SETTLED_LABEL, State, Status, Transcription
from tests.support.controller_fakes import (
    NOW,
    POLICY,
    RESULT,
    SILENT,
    Clock,
    a_failed_pod,
    a_job,
    a_pod,
    a_transcription,
    final,
    names,
    seen,
    status_of,
)
from tests.support.controller_operator import FakeCluster, Operator, to_manifest

LABELS = {SETTLED_LABEL: "true"}
DONE = final(State.SUCCEEDED, result=RESULT, settled=True, observed_generation=1)
KEPT_FOR_A_DAY = replace(SILENT, ttl=timedelta(days=1))
HELD = (OUTPUTS_FINALIZER,)


def a_settled_one(status: Status = DONE, **spec: Any) -> Transcription:
    return a_transcription(status, labels=LABELS, **spec)


def a_leaving_one(finalizers: tuple[str, ...] = HELD, **spec: Any) -> Transcription:
    changes = {"is_deleting": True, "finalizers": finalizers}
    return a_transcription(Status(attempt=1), **({"deleteOutputs": True} | spec)).model_copy(update=changes)


@pytest.mark.parametrize(
    ("own", "policy", "seconds"),
    [
        (60, SILENT, 60),
        (60, KEPT_FOR_A_DAY, 60),
        (None, KEPT_FOR_A_DAY, 86400),
        (86400 * 365, KEPT_FOR_A_DAY, 86400 * 365),
    ],
)
def test_resource_goes_when_its_time_is_over_and_not_before(own: int | None, policy: Any, seconds: int) -> None:
    spec = {} if own is None else {"ttlSecondsAfterFinished": own}
    end = NOW + timedelta(seconds=seconds)
    before = decide(seen(a_settled_one(**spec)), policy, end - timedelta(seconds=1))
    assert before == Decision(wake_at=end)
    assert not is_expired(to_manifest(a_settled_one(**spec)), policy, end - timedelta(microseconds=1))
    assert names(decide(seen(a_settled_one(**spec)), policy, end)) == ["DeleteTranscription"]
    assert is_expired(to_manifest(a_settled_one(**spec)), policy, end)


def test_resource_stays_when_nobody_says_how_long() -> None:
    assert decide(seen(a_settled_one()), SILENT, NOW + timedelta(days=3650)) == Decision()
    assert not is_expired(to_manifest(a_settled_one()), SILENT, NOW + timedelta(days=3650))


def test_resource_goes_in_the_same_pass_when_its_time_is_zero() -> None:
    stored = a_transcription(Status(attempt=1, result=RESULT), ttlSecondsAfterFinished=0)
    decision = decide(seen(stored, job=a_job(ended="Complete")), SILENT, NOW)
    assert names(decision)[0] == "PatchStatus"
    assert names(decision)[-1] == "DeleteTranscription"


def test_resource_waits_for_its_callback_when_its_time_is_zero() -> None:
    status = final(State.SUCCEEDED, result=RESULT, callback=build_record("msg", NOW + timedelta(seconds=5)))
    waiting = a_transcription(status, ttlSecondsAfterFinished=0)
    decision = decide(seen(waiting), POLICY, NOW)
    assert "DeleteTranscription" not in names(decision)
    assert decision.wake_at == NOW + timedelta(seconds=5)


def test_callback_is_given_up_when_the_installation_has_no_receiver_any_more() -> None:
    status = final(State.SUCCEEDED, result=RESULT, callback=build_record("msg", NOW))
    decision = decide(seen(a_transcription(status)), SILENT, NOW)
    assert names(decision) == ["PatchStatus", "Settle"]
    assert not decision.deliver
    assert status_of(decision).callback == build_record("msg", NOW).model_copy(
        update={"state": "Failed", "next_attempt_time": None}
    )


def test_finalizer_comes_before_anything_is_made_when_outputs_are_to_go() -> None:
    asked = a_transcription(deleteOutputs=True)
    assert names(decide(seen(asked), SILENT, NOW)) == ["HoldOutputs", "PatchStatus", "CreateJob"]
    held = asked.model_copy(update={"finalizers": HELD})
    assert names(decide(seen(held), SILENT, NOW)) == ["PatchStatus", "CreateJob"]


def test_finalizer_goes_when_the_wish_is_taken_back() -> None:
    held = a_settled_one().model_copy(update={"finalizers": HELD, "labels": {}})
    assert names(decide(seen(held), SILENT, NOW)) == ["ReleaseOutputs", "Settle"]


def test_finished_one_comes_back_into_the_watch_when_outputs_are_to_go() -> None:
    assert names(decide(seen(a_settled_one(deleteOutputs=True)), SILENT, NOW)) == ["Unsettle", "HoldOutputs"]


def test_finalizer_comes_while_a_retry_waits_in_line() -> None:
    failed = final(State.FAILED, failure=build_failure(Reason.GPU_FAULT))
    waiting = a_transcription(failed, retries=1, deleteOutputs=True)
    assert names(decide(seen(waiting, has_place=False), SILENT, NOW)) == ["HoldOutputs"]


PARTINGS: list[tuple[str, JobView | None, tuple[PodView, ...], list[str]]] = [
    ("nothing is left", None, (), ["DeleteOutputs", "ReleaseOutputs"]),
    ("a job is live", a_job(ready=1), (a_pod(),), ["DeleteJob"]),
    ("a job has no pod yet", a_job(), (), ["DeleteJob"]),
    ("a pod is on its way out", None, (a_pod(),), []),
    ("its job is on its way out", a_job(is_deleting=True), (a_pod(),), []),
    ("all pods have ended", None, (a_failed_pod(143), a_pod(exit_code=0)), ["DeleteOutputs", "ReleaseOutputs"]),
]


@pytest.mark.parametrize(("case", "job", "pods", "steps"), PARTINGS, ids=[c[0] for c in PARTINGS])
def test_files_go_when_no_pod_can_store_any_more(
    case: str, job: JobView | None, pods: tuple[PodView, ...], steps: list[str]
) -> None:
    decision = decide(seen(a_leaving_one(), job=job, pods=pods), SILENT, NOW)
    assert names(decision) == steps, case
    assert (decision.wake_at is None) == ("ReleaseOutputs" in steps)


def test_jobs_of_all_attempts_go_first() -> None:
    decision = decide(seen(a_leaving_one(), job=a_job(), others=(a_job(name="clip-0", ended="Failed"),)), SILENT, NOW)
    assert [step.job.name for step in decision.steps if isinstance(step, DeleteJob)] == ["clip-1", "clip-0"]


def test_only_our_finalizer_matters_when_it_is_deleted() -> None:
    assert decide(seen(a_leaving_one(finalizers=("example.com/other",))), SILENT, NOW) == Decision()
    kept = a_leaving_one(deleteOutputs=False)
    assert decide(seen(kept, job=a_job()), SILENT, NOW).steps == (ReleaseOutputs(),)
    assert decide(seen(a_leaving_one()), SILENT, NOW).steps == (DeleteOutputs(), ReleaseOutputs())


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


def test_resource_goes_when_the_operator_was_down_at_its_time() -> None:
    cluster, clock = FakeCluster(a_settled_one(ttlSecondsAfterFinished=60)), Clock()
    clock.advance(3600)

    async def scene() -> None:
        operator = Operator(cluster, clock, callback_url=None)
        await operator.loop._resync.find_asked()
        await operator.work()

    run(scene)
    assert cluster.transcriptions == {}
    assert cluster.writes == ["remove"]


def test_resource_goes_at_its_time_when_it_has_left_the_watch() -> None:
    cluster, clock = FakeCluster(a_transcription(cancel=True, ttlSecondsAfterFinished=60)), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock, callback_url=None)
        await operator.settle_down()
        await operator.settle_down()
        assert len(operator.cache) == 0
        clock.advance(59)
        await operator.work()
        assert "clip" in cluster.transcriptions
        clock.advance(1)
        await operator.work()

    run(scene)
    assert cluster.transcriptions == {}


def test_files_go_before_the_resource_when_both_are_to_go() -> None:
    cluster, clock = FakeCluster(a_transcription(cancel=True, deleteOutputs=True, ttlSecondsAfterFinished=60)), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock, callback_url=None)
        await operator.settle_down()
        clock.advance(60)
        await operator.work()
        assert operator.results.deleted == []
        await operator.settle_down()
        assert operator.results.deleted == ["clip"]

    run(scene)
    assert cluster.transcriptions == {}
    assert cluster.writes == ["hold", "status", "remove", "release"]
