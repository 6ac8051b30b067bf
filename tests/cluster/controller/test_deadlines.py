"""How long it may wait, run, be silent and take in all. Hours pass by turning back the times in its status."""

from collections.abc import Iterator

import pytest

from crds.reasons import Reason
from crds.transcriptionjob import ConditionType, State, Status
from crds.worker import build_job_name
from tests.support.arena import Arena, OpenArena
from tests.support.waiting import wait_for

LONG = {"queueSeconds": 86400, "runSeconds": 86400, "totalSeconds": 864000}
HEARTBEAT_SECONDS = 4


@pytest.fixture(scope="module")
def impatient(open_one: OpenArena) -> Iterator[Arena]:
    """A worker may be silent for a few seconds only."""
    with open_one(heartbeat_seconds=str(HEARTBEAT_SECONDS)) as made:
        yield made


def assert_failed(status: Status, reason: Reason) -> None:
    assert status.state is State.FAILED
    assert status.failure is not None
    assert status.failure.reason == reason


def test_it_fails_when_it_waits_too_long_for_its_first_place(arena: Arena) -> None:
    name = arena.ask("waits", limits=LONG | {"queueSeconds": 60}, queueName="never")
    arena.until_state(name, State.QUEUED)
    arena.turn_back(name)
    assert_failed(arena.until_settled(name), Reason.QUEUE_DEADLINE_EXCEEDED)
    arena.until_gone("jobs", build_job_name(name, 1))


def test_it_fails_when_it_waits_too_long_for_its_place_back(arena: Arena) -> None:
    name = arena.ask("waits-again", limits=LONG | {"queueSeconds": 60})
    arena.run(name)
    arena.turn_back(name, 7200, ConditionType.FINISHED)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"suspend": True}})
    arena.until_state(name, State.QUEUED)
    arena.turn_back(name, 7200, ConditionType.RUNNING)
    assert_failed(arena.until_settled(name), Reason.QUEUE_DEADLINE_EXCEEDED)


def test_the_wait_counts_from_the_loss_of_the_pod_when_it_has_run_before(arena: Arena) -> None:
    name = arena.ask("ran-long", limits=LONG | {"queueSeconds": 60})
    pod = arena.run(name)
    arena.turn_back(name)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"suspend": True}})
    assert arena.until_state(name, State.QUEUED).failure is None
    arena.node.obey(pod)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"suspend": False}})
    arena.finish(name, arena.run(name, but=pod))


def test_it_fails_when_it_runs_too_long(arena: Arena) -> None:
    name = arena.ask("runs", limits=LONG | {"runSeconds": 60})
    pod = arena.run(name)
    arena.turn_back(name)
    assert_failed(arena.until_settled(name), Reason.RUN_DEADLINE_EXCEEDED)
    arena.until_deleting(pod)


def test_it_fails_when_the_kubelet_ends_its_pod_for_running_too_long(arena: Arena) -> None:
    name = arena.ask("overran")
    pod = arena.run(name)
    assert pod["spec"]["activeDeadlineSeconds"] == arena.read(name).spec.limits.run_seconds
    arena.node.fail(pod, "DeadlineExceeded")
    status = arena.until_settled(name)
    assert_failed(status, Reason.RUN_DEADLINE_EXCEEDED)
    assert status.attempt == 1


def test_it_fails_when_it_takes_too_long_in_all(arena: Arena) -> None:
    name = arena.ask("lasts", limits=LONG | {"totalSeconds": 60})
    pod = arena.run(name)
    arena.turn_back(name)
    assert_failed(arena.until_settled(name), Reason.TOTAL_DEADLINE_EXCEEDED)
    arena.until_deleting(pod)


def test_it_fails_when_its_jobs_own_deadline_ends_it_first(arena: Arena) -> None:
    name = arena.ask("net")
    pod = arena.run(name)
    job = arena.wait_for_job(name)
    assert job["spec"]["activeDeadlineSeconds"] == arena.read(name).spec.limits.total_seconds
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"activeDeadlineSeconds": 1}})
    arena.until_deleting(pod)
    arena.node.obey(pod)
    assert_failed(arena.until_settled(name), Reason.TOTAL_DEADLINE_EXCEEDED)


def test_a_silent_worker_is_stopped_fenced_and_replaced(impatient: Arena) -> None:
    name = impatient.ask("silent")
    pod = impatient.run(name)
    worker = impatient.a_worker_in(name, pod)
    assert impatient.door.report(worker, {"progress": worker.progress(percent=10)}).status_code == 200
    status = impatient.until_attempt(name, 2)
    assert (status.tries, status.avoid_nodes) == (2, (pod["spec"]["nodeName"],))
    impatient.until_deleting(pod)
    late = impatient.door.report(worker, {"progress": worker.progress(percent=90), "result": worker.result()})
    assert late.status_code == 403, late.text
    impatient.until_gone("jobs", build_job_name(name, 1))
    end = impatient.finish(name, impatient.run(name, 2))
    assert end.result is not None
    assert end.result.key.endswith("/2/transcript.json")


def test_a_worker_is_left_alone_while_it_reports(impatient: Arena) -> None:
    name, other = impatient.ask("talks"), impatient.ask("silent")
    pod = impatient.run(name)
    impatient.run(other)
    worker = impatient.a_worker_in(name, pod)
    percent = iter(range(1, 100))

    def report_until_the_other_is_replaced() -> bool:
        answer = impatient.door.report(worker, {"progress": worker.progress(percent=next(percent))})
        assert answer.status_code == 200, answer.text
        return impatient.read(other).status.attempt == 2

    wait_for(report_until_the_other_is_replaced, 40, "the silent one is replaced", 0.5)
    assert impatient.finish(name, pod).attempt == 1


def test_it_recovers_elsewhere_when_its_node_is_lost_and_its_pod_never_ends(impatient: Arena) -> None:
    """The pod stays Running with a time of deletion, because no kubelet is left to end it."""
    name = impatient.ask("lost-node")
    pod = impatient.run(name)
    impatient.admin.delete("pods", pod["metadata"]["name"])
    end = impatient.finish(name, impatient.run(name, 2, seconds=40))
    assert (end.attempt, end.avoid_nodes) == (2, (pod["spec"]["nodeName"],))
    still = impatient.admin.get("pods", pod["metadata"]["name"])
    assert still is not None
    assert still["status"]["phase"] == "Running"
    assert "deletionTimestamp" in still["metadata"]
