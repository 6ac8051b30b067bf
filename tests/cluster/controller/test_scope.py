"""What is none of the controller's business, and what outlives it: other namespaces, other managers, ends, upgrades."""

from collections.abc import Iterator
from typing import Any

import pytest

from crds.reasons import Reason
from crds.transcriptionjob import API_VERSION, KIND, MANAGED_BY, MANAGED_BY_LABEL, NAME_LABEL, PLURAL, State
from crds.worker import build_job_name
from tests.support.admin import Admin
from tests.support.arena import SOURCE, Arena, OpenArena
from tests.support.kubectl import Kubectl
from tests.support.namespaces import open_namespace
from tests.support.transcriptions import TJ
from tests.support.waiting import wait_for

OLD_FIELDS = ("tries", "replacements", "avoidNodes", "redeliveries", "retries")


@pytest.fixture
def elsewhere(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace that no controller looks after."""
    with open_namespace(kubectl, "elsewhere") as here:
        yield here


def a_manifest(name: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {"source": SOURCE}}


def test_transcriptions_and_jobs_of_other_namespaces_are_left_alone(arena: Arena, elsewhere: Kubectl) -> None:
    name = arena.ask("here")
    there = elsewhere.create(a_manifest(name))
    container = {"name": "worker", "image": "other"}
    job = elsewhere.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": build_job_name(name, 1), "labels": {MANAGED_BY_LABEL: MANAGED_BY, NAME_LABEL: name}},
            "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        }
    )
    arena.finish(name, arena.run(name))
    arena.until_settled(name)
    seen, seen_job = elsewhere.get(TJ, name), elsewhere.get("job", build_job_name(name, 1))
    assert seen == there
    assert seen_job is not None
    assert seen_job["spec"] == job["spec"]


def test_nothing_is_made_and_the_status_stays_when_another_manages_it(arena: Arena) -> None:
    theirs = arena.ask("theirs", managedBy="kueue.x-k8s.io/multikueue")
    status = {"state": "Running", "attempt": 3, "message": "theirs"}
    arena.set_status(theirs, **status)
    before = arena.admin.get(PLURAL, theirs)
    ours = arena.ask("ours")
    arena.finish(ours, arena.run(ours))
    assert arena.admin.get(PLURAL, theirs) == before
    assert arena.jobs_of(theirs) == []
    arena.change(theirs, cancel=True)
    last = arena.ask("last", cancel=True)
    arena.until_settled(last)
    after = arena.admin.get(PLURAL, theirs)
    assert after is not None
    assert after["status"] == status
    assert arena.reasons(theirs) == []


def pods_go_first(admin: Admin) -> bool:
    """Whether a namespace waits for its pods before it takes anything else; before 1.33 the order was any."""
    return int(admin.ask("GET", "/version")["minor"].rstrip("+")) >= 33


def test_nothing_new_is_tried_twice_when_the_namespace_terminates(open_one: OpenArena) -> None:
    with open_one() as doomed:
        running, asleep = doomed.ask("running"), doomed.ask("asleep", suspend=True)
        pod = doomed.run(running)
        doomed.until_state(asleep, State.SUSPENDED)
        doomed.kubectl.run("delete", "namespace", doomed.namespace, "--wait=false")
        doomed.until_deleting(pod)
        if pods_go_first(doomed.admin):
            doomed.change(asleep, suspend=False)
            status = doomed.until_settled(asleep)
            assert status.failure is not None
            assert status.failure.reason == Reason.JOB_REFUSED
            assert doomed.controller.count_calls("POST", "jobs") == 2
        doomed.node.obey(pod)
        for name in (running, asleep):
            doomed.until_gone(PLURAL, name, 60)
        assert doomed.controller.lines("reconcile failed") == []


def test_one_that_runs_goes_on_when_the_controller_is_upgraded(restartable: Arena) -> None:
    """Its status is one of a version that knew less, and what is made afterwards has the new image."""
    restartable.controller.start()
    old = restartable.ask("old")
    pod = restartable.run(old)
    restartable.controller.stop()
    restartable.set_status(old, **dict.fromkeys(OLD_FIELDS))
    restartable.controller.start(CONTROLLER_WORKER_IMAGE="newer")
    new = restartable.ask("new")
    image = restartable.wait_for_job(new)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "newer"
    end = restartable.finish(old, pod)
    assert (end.attempt, end.state) == (1, State.SUCCEEDED)
    assert restartable.wait_for_job(old)["spec"]["template"]["spec"]["containers"][0]["image"] == "simulated"
    wait_for(lambda: "Completed" in restartable.reasons(old), 10, "the Event of its end")
