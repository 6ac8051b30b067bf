"""Failures told apart: of the file, of the memory, of the GPU, of the node, of the neighbours."""

import secrets
from collections.abc import Iterator
from functools import partial

import pytest

from crds.reasons import Reason, WaitingReason
from crds.transcriptionjob import ConditionType, State, Status
from crds.worker import build_job_name
from tests.support.admin import Admin
from tests.support.arena import Arena, truth
from tests.support.kubectl import Manifest
from tests.support.simulated_node import SimulatedNode
from tests.support.stories import Told, tell

ENDS = {
    "out of memory": (137, "OOMKilled", Reason.OUT_OF_MEMORY),
    "killed": (137, "Error", Reason.WORKER_TERMINATED),
    "terminated": (143, "Error", Reason.WORKER_TERMINATED),
    "crashed": (139, "Error", Reason.WORKER_FAILED),
    "no storage": (80, "Error", Reason.STORAGE_UNAVAILABLE),
    "a bug": (85, "Error", Reason.INTERNAL_ERROR),
}


@pytest.fixture(scope="module")
def two_nodes(arena: Arena) -> Iterator[set[str]]:
    with SimulatedNode(Admin(arena.admin.client, ""), f"worker-{secrets.token_hex(4)}") as other:
        yield {arena.node.name, other.name}


def be_evicted(arena: Arena) -> tuple[Status, Manifest | None]:
    name = arena.ask("evicted")
    first = arena.run(name)
    arena.node.evict(first)
    arena.until_deleting(first)
    arena.node.obey(first)
    end = arena.finish(name, arena.run(name, but=first, seconds=40))
    return end, arena.job(name)


def be_refused_three_times(arena: Arena) -> tuple[Status, Manifest]:
    name = arena.ask("refused", limits={"attempts": 2})
    pod = None
    for _ in range(3):
        pod = arena.wait_for_pod(name, but=pod, seconds=60)
        arena.node.fail(pod, "UnexpectedAdmissionError")
    assert pod is not None
    return arena.until_attempt(name, 2), pod


def wait_for_a_gpu(arena: Arena) -> Status:
    name = arena.ask("no-gpu", resources={"gpuResource": "nvidia.com/mig-7g.80gb"})
    return arena.until(name, lambda s: s.waiting_reason == WaitingReason.UNSCHEDULABLE, "it waits for a GPU", 30)


def wait_for_an_image(arena: Arena) -> Status:
    name = arena.ask("no-image")
    arena.node.hold(arena.wait_for_pod(name), "ImagePullBackOff")
    return arena.until(name, lambda s: s.waiting_reason == WaitingReason.IMAGE_PULL, "it waits for its image", 30)


def wait_for_quota(arena: Arena) -> tuple[Status, Status]:
    """A quota that leaves no pod of this class any room; then it is gone."""
    priority = f"{arena.namespace}.scribe.low"
    scope = {"operator": "In", "scopeName": "PriorityClass", "values": [priority]}
    quota = {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [scope]}}
    arena.admin.create("resourcequotas", {"metadata": {"name": "none"}, "spec": quota})
    name = arena.ask("no-room", priority=priority)
    waiting = arena.until(name, lambda s: s.waiting_reason == WaitingReason.QUOTA, "it waits for quota", 40)
    arena.admin.delete("resourcequotas", "none")
    return waiting, arena.finish(name, arena.run(name, seconds=60))


def give_up(case: str, arena: Arena) -> Status:
    """Its Job has no patience any more, and its pod ends in that way."""
    exit_code, how, _ = ENDS[case]
    name = arena.ask("gives-up")
    pod = arena.run(name)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"backoffLimit": 0}})
    arena.node.end(pod, exit_code, reason=how)
    return arena.until_settled(name)


GIVING_UP = {case: partial(give_up, case) for case in ENDS}


@pytest.fixture(scope="module")
def told(arena: Arena, two_nodes: set[str]) -> Iterator[Told]:
    assert len(two_nodes) == 2
    stories = (be_evicted, be_refused_three_times, wait_for_a_gpu, wait_for_an_image, wait_for_quota)
    with tell(arena, *stories, *GIVING_UP.values()) as told:
        yield told


@pytest.mark.usefixtures("told")
def test_a_gpu_fault_is_retried_on_another_node(arena: Arena, two_nodes: set[str]) -> None:
    name = arena.ask("gpu-fault")
    first = arena.run(name)
    arena.node.end(first, 96)
    second = arena.run(name, 2)
    assert {first["spec"]["nodeName"], second["spec"]["nodeName"]} == two_nodes
    [wish] = second["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    [expression] = wish["preference"]["matchFields"]
    assert (expression["operator"], expression["values"]) == ("NotIn", [first["spec"]["nodeName"]])
    end = arena.finish(name, second)
    assert (end.attempt, end.tries, end.avoid_nodes) == (2, 2, (first["spec"]["nodeName"],))
    wait_gone = arena.jobs_of(name)
    assert build_job_name(name, 2) in wait_gone


def test_a_gpu_fault_ends_its_job_at_once(arena: Arena) -> None:
    name = arena.ask("gpu-fault", limits={"attempts": 1})
    arena.node.end(arena.run(name), 96)
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.GPU_FAULT
    job = arena.job(name)
    assert job is not None
    assert [c["reason"] for c in job["status"]["conditions"] if c["type"] == "Failed"] == ["PodFailurePolicy"]


@pytest.mark.parametrize("case", ENDS)
def test_ends_are_told_apart_when_its_job_gives_up(told: Told, case: str) -> None:
    exit_code, _, reason = ENDS[case]
    status: Status = told(GIVING_UP[case])
    assert status.failure is not None
    assert (status.failure.reason, status.failure.exit_code) == (reason, exit_code)


def test_a_disruption_is_not_charged_when_its_pod_is_evicted(told: Told) -> None:
    end, job = told(be_evicted)
    assert (end.state, end.attempt, end.tries, end.replacements) == (State.SUCCEEDED, 1, 1, 1)
    assert job["status"].get("failed", 0) == 0


def test_it_fails_when_it_is_disrupted_for_ever(arena: Arena) -> None:
    name = arena.ask("for-ever")
    pod = arena.run(name)
    arena.set_status(name, replacements=21)
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.TOO_MANY_DISRUPTIONS
    arena.until_deleting(pod)


def test_the_next_attempt_goes_elsewhere_when_a_node_refuses_three_pods_in_a_row(told: Told) -> None:
    status, last = told(be_refused_three_times)
    assert (status.tries, status.avoid_nodes) == (2, (last["spec"]["nodeName"],))


def test_the_reason_is_read_from_the_pod_when_it_was_refused_without_an_exit_code(arena: Arena) -> None:
    name = arena.ask("refused-once")
    pod = arena.wait_for_pod(name)
    arena.admin.patch("jobs", build_job_name(name, 1), {"spec": {"backoffLimit": 0}})
    arena.node.fail(pod, "UnexpectedAdmissionError")
    status = arena.until_attempt(name, 2)
    assert status.avoid_nodes == (pod["spec"]["nodeName"],)


@pytest.mark.parametrize(
    ("model", "resource"), [("large-v3", "nvidia.com/mig-1g.5gb"), ("turbo", "nvidia.com/mig-1g.5gb")]
)
def test_it_fails_without_a_job_when_the_model_is_too_large_for_the_slice(
    arena: Arena, model: str, resource: str
) -> None:
    name = arena.ask("too-small", model=model, resources={"gpuResource": resource})
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.GPU_TOO_SMALL
    assert model in status.failure.message
    assert resource in status.failure.message
    assert arena.job(name) is None


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("large-v3", "nvidia.com/gpu"),
        ("tiny", "nvidia.com/mig-1g.5gb"),
        ("large-v3", "nvidia.com/mig-3g.40gb"),
        ("large-v3", "nvidia.com/gpu.shared"),
        ("large-v3", "amd.com/gpu"),
    ],
)
def test_the_pod_gets_the_gpu_that_was_named(arena: Arena, model: str, resource: str) -> None:
    name = arena.ask("named-gpu", model=model, resources={"gpuResource": resource})
    pod = arena.wait_for_pod(name)
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {resource: "1"}


def test_the_pod_gets_no_gpu_when_none_is_asked_for(arena: Arena) -> None:
    name = arena.ask("cpu", resources={"gpu": 0})
    pod = arena.wait_for_pod(name)
    assert "limits" not in pod["spec"]["containers"][0]["resources"]


def test_the_pod_has_the_priority_that_was_named(arena: Arena) -> None:
    priority = f"{arena.namespace}.scribe.high"
    pod = arena.wait_for_pod(arena.ask("priority", priority=priority))
    assert (pod["spec"]["priorityClassName"], pod["spec"]["priority"]) == (priority, 100)


def test_the_status_says_so_when_no_node_has_the_gpu(told: Told) -> None:
    status: Status = told(wait_for_a_gpu)
    assert status.state is State.STARTING
    assert "no node has what it asks for" in (status.message or "")
    assert truth(status, ConditionType.RUNNING) == "False"


def test_the_status_says_so_when_the_image_cannot_be_pulled(told: Told) -> None:
    status: Status = told(wait_for_an_image)
    assert "image cannot be pulled" in (status.message or "")


def test_it_goes_on_when_a_quota_has_room_again(told: Told) -> None:
    waiting, end = told(wait_for_quota)
    assert "quota is used up" in (waiting.message or "")
    assert end.state is State.SUCCEEDED
