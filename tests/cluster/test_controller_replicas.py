"""Several controllers in one namespace: one works, and the next takes over, whatever becomes of it.

They are processes of this machine, in a namespace without workers: what is looked at is the resources and their Jobs.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.lease import LEASE_SECONDS
from tests.support.controllers import Controllers, ask, some_controllers
from tests.support.kubectl import Kubectl, Manifest
from tests.support.namespaces import open_namespace
from tests.support.waiting import wait_for

TAKEOVER_SECONDS = 15
LEASE_LOST = 3


@pytest.fixture(scope="module")
def place(kubectl: Kubectl) -> Iterator[Kubectl]:
    with open_namespace(kubectl, "replicas") as made:
        yield made


@pytest.fixture
def controllers(place: Kubectl, tmp_path: Path) -> Iterator[Controllers]:
    with some_controllers(place, tmp_path) as made:
        yield made
    place.run("delete", "transcriptionjobs,jobs,leases", "--all")


def job_of(place: Kubectl, name: str) -> Callable[[], Manifest | None]:
    return lambda: place.get("job", f"{name}-1")


def holder(place: Kubectl) -> str:
    lease = place.get("lease", "scribe")
    return str(lease["spec"]["holderIdentity"]) if lease else ""


def jobs_and_attempts(place: Kubectl) -> tuple[list[str], list[tuple[str, int]]]:
    jobs = sorted(job["metadata"]["name"] for job in place.list("jobs"))
    items = place.list("transcriptionjobs")
    return jobs, sorted((t["metadata"]["name"], t.get("status", {}).get("attempt", 0)) for t in items)


def test_the_standby_works_within_fifteen_seconds_when_the_leader_is_killed(
    place: Kubectl, controllers: Controllers
) -> None:
    leader, standby = controllers.start_pair()
    ask(place, "before")
    wait_for(job_of(place, "before"), 30, "the leader works")
    assert standby.measure("reconcile_total") == 0
    killed_at = leader.send(signal.SIGKILL)
    ask(place, "after")
    wait_for(job_of(place, "after"), TAKEOVER_SECONDS, "the standby works", every_seconds=0.1)
    seconds = time.monotonic() - killed_at
    assert seconds < TAKEOVER_SECONDS
    assert standby.is_leading()
    assert standby.is_well()


def test_the_standby_leads_at_once_when_the_leader_ends_in_order(place: Kubectl, controllers: Controllers) -> None:
    leader, standby = controllers.start_pair()
    asked_at = leader.send(signal.SIGTERM)
    wait_for(standby.is_leading, TAKEOVER_SECONDS, "the standby leads", every_seconds=0.05)
    seconds = time.monotonic() - asked_at
    assert seconds < LEASE_SECONDS / 2, "it waited for the end of a lease that was given back"
    assert leader.wait_for_end(30) == 0
    ask(place, "after")
    wait_for(job_of(place, "after"), 30, "the standby works")


def test_the_standby_ends_in_order_though_it_never_led(controllers: Controllers) -> None:
    leader, standby = controllers.start_pair()
    standby.send(signal.SIGTERM)
    assert standby.wait_for_end(10) == 0
    assert leader.is_leading()


def test_a_leader_that_was_frozen_past_its_lease_does_nothing_and_ends(
    place: Kubectl, controllers: Controllers
) -> None:
    """Both are frozen when something is asked for, so that whoever acts on it is found out."""
    frozen, standby = controllers.start_pair()
    frozen.send(signal.SIGSTOP)
    wait_for(standby.is_leading, TAKEOVER_SECONDS, "the standby leads")
    standby.send(signal.SIGSTOP)
    lease = holder(place)
    ask(place, "late")
    frozen.send(signal.SIGCONT)
    assert frozen.wait_for_end(10) == LEASE_LOST, frozen.log.read_text()
    assert jobs_and_attempts(place) == ([], [("late", 0)])
    assert holder(place) == lease, "it took back what is not its own any more"


def test_nobody_works_twice_when_leaders_follow_each_other_in_a_rollout(
    place: Kubectl, controllers: Controllers
) -> None:
    old = list(controllers.start_pair())
    names = [f"clip-{number:02}" for number in range(30)]
    for part in range(2):
        new = controllers.start_well()
        ask(place, *names[part * 15 : part * 15 + 15])
        old[part].send(signal.SIGTERM)
        assert old[part].wait_for_end(30) == 0
    wait_for(lambda: len(place.list("jobs")) >= len(names), 60, "every Job is there")
    assert jobs_and_attempts(place) == ([f"{name}-1" for name in names], [(name, 1) for name in names])
    assert new.is_well()


def test_two_that_work_at_once_make_no_second_job(place: Kubectl, controllers: Controllers) -> None:
    """The worst overlap there can be: no lease at all."""
    pair = [controllers.start_well(lease="") for _ in range(2)]
    for one in pair:
        wait_for(lambda one=one: "resynced" in one.log.read_text(), 30, "both have begun")
    names = [f"clip-{number:02}" for number in range(20)]
    ask(place, *names)
    wait_for(lambda: len(place.list("jobs")) >= len(names), 60, "every Job is there")
    settled = [
        f"{t['metadata']['name']} {t['status'].get('attempt')}"
        for t in place.list("transcriptionjobs")
        if t.get("status")
    ]
    assert settled == [f"{name} 1" for name in names]
    assert jobs_and_attempts(place)[0] == [f"{name}-1" for name in names]
    assert all(one.is_well() for one in pair)
