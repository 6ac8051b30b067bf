import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from controller.errors import ControllerError, MissingError, StaleError, TransientError
from controller.leader import Elector, LeaseStore, work_as_leader
from controller.lease import LEASE_SECONDS, LeaseLostError

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


class FakeDoor:
    """An API server with one Lease at most; fails as often as it is told to."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.calls: list[str] = []
        self.faults: list[Exception] = []

    async def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.calls.append(verb)
        if self.faults:
            raise self.faults.pop(0)
        assert path == (PATH if verb == "POST" else f"{PATH}/scribe")
        if verb == "GET":
            if self.lease is None:
                raise MissingError(path)
            return self.lease
        assert body is not None
        found = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != found:
            raise StaleError(path)
        self.version += 1
        self.lease = dict(body) | {"metadata": {"resourceVersion": str(self.version)}}
        return self.lease

    @property
    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"] if self.lease else "none"


class Scene:
    """Electors on one door; time passes only in pauses, as far as the scene lets it."""

    def __init__(self) -> None:
        self.door = FakeDoor()
        self.now = 100.0
        self.sleepers: list[tuple[float, asyncio.Event]] = []

    def elector(self, name: str) -> Elector:
        return Elector(LeaseStore(self.door, "ns", "scribe"), name, lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.sleepers.append((self.now + seconds, woken))
        await woken.wait()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        await self.settle()
        while due := [sleeper for sleeper in self.sleepers if sleeper[0] <= end]:
            when, woken = first = min(due, key=lambda sleeper: sleeper[0])
            self.sleepers.remove(first)
            self.now = max(self.now, when)
            woken.set()
            await self.settle()
        self.now = end


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    asyncio.run(story(Scene()))


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_first_leads_and_the_second_stands_by() -> None:
    async def story(scene: Scene) -> None:
        first, second = scene.elector("first"), scene.elector("second")
        tasks = [asyncio.create_task(first.run()), asyncio.create_task(second.run())]
        await scene.pass_time(60)
        assert (first.is_leading(), second.is_leading()) == (True, False)
        assert (first.find_problem(), second.find_problem()) == (None, None)
        assert scene.door.holder == "first"
        await stop(*tasks)

    play(story)


def test_a_renewal_is_one_call() -> None:
    async def story(scene: Scene) -> None:
        task = asyncio.create_task(scene.elector("me").run())
        await scene.pass_time(20)
        assert scene.door.calls == ["GET", "POST"] + ["PUT"] * 10
        await stop(task)

    play(story)


def test_the_standby_leads_when_the_leader_has_died() -> None:
    async def story(scene: Scene) -> None:
        first, second = scene.elector("first"), scene.elector("second")
        dying, living = asyncio.create_task(first.run()), asyncio.create_task(second.run())
        await scene.pass_time(30)
        await stop(dying)
        scene.sleepers.sort(key=lambda sleeper: sleeper[0])
        await scene.pass_time(LEASE_SECONDS - 3)
        assert not second.is_leading()
        await scene.pass_time(5)
        assert second.is_leading()
        assert scene.door.holder == "second"
        await stop(living)

    play(story)


@pytest.mark.parametrize("fault", [TransientError("busy"), StaleError("late"), TimeoutError(), OSError("reset")])
def test_one_failed_renewal_is_made_good(fault: Exception) -> None:
    async def story(scene: Scene) -> None:
        elector = scene.elector("me")
        task = asyncio.create_task(elector.run())
        await scene.pass_time(3)
        scene.door.faults = [fault]
        await scene.pass_time(30)
        assert elector.is_leading()
        await stop(task)

    play(story)


def test_a_leader_that_cannot_renew_stops_before_another_may_start() -> None:
    async def story(scene: Scene) -> None:
        elector = scene.elector("me")
        task = asyncio.create_task(elector.run())
        await scene.pass_time(2)
        scene.door.faults = [TransientError("away")] * 100
        await scene.pass_time(LEASE_SECONDS - 0.5)
        assert not elector.is_leading()
        assert isinstance(task.exception(), LeaseLostError)

    play(story)


def test_a_leader_that_was_frozen_stops_before_it_asks_for_anything() -> None:
    async def story(scene: Scene) -> None:
        elector = scene.elector("me")
        task = asyncio.create_task(elector.run())
        await scene.pass_time(2)
        calls = len(scene.door.calls)
        scene.now += 60
        assert not elector.is_leading()
        assert elector.find_problem() == "the lease is over"
        await scene.pass_time(0)
        assert isinstance(task.exception(), LeaseLostError)
        assert len(scene.door.calls) == calls

    play(story)


def test_a_leader_stops_when_it_finds_another_in_its_place() -> None:
    async def story(scene: Scene) -> None:
        task = asyncio.create_task(scene.elector("me").run())
        await scene.pass_time(2)
        assert scene.door.lease is not None
        scene.door.lease["metadata"]["resourceVersion"] = "99"
        scene.door.lease["spec"]["holderIdentity"] = "they"
        await scene.pass_time(4)
        assert isinstance(task.exception(), LeaseLostError)
        assert scene.door.holder == "they"

    play(story)


def test_an_election_that_does_not_move_is_a_problem() -> None:
    async def story(scene: Scene) -> None:
        elector = scene.elector("me")
        assert elector.find_problem() is None
        scene.now += 40
        assert elector.find_problem() == "no look at the lease for 40 s"

    play(story)


def test_a_standby_that_cannot_reach_the_lease_is_well() -> None:
    async def story(scene: Scene) -> None:
        scene.door.faults = [TransientError("away")] * 1000
        elector = scene.elector("me")
        task = asyncio.create_task(elector.run())
        await scene.pass_time(120)
        assert elector.find_problem() is None
        await stop(task)

    play(story)


def test_the_lease_is_given_back_when_the_work_ends() -> None:
    async def story(scene: Scene) -> None:
        ended = asyncio.Event()

        async def work() -> None:
            await ended.wait()

        elector = scene.elector("me")
        task = asyncio.create_task(work_as_leader(elector, asyncio.Event(), work))
        await scene.pass_time(5)
        assert scene.door.holder == "me"
        ended.set()
        await task
        assert scene.door.holder == ""
        assert not elector.is_leading()

    play(story)


def test_the_lease_is_given_back_when_the_work_fails() -> None:
    async def story(scene: Scene) -> None:
        async def work() -> None:
            raise ControllerError("broken")

        task = asyncio.create_task(work_as_leader(scene.elector("me"), asyncio.Event(), work))
        await scene.pass_time(5)
        assert isinstance(task.exception(), ControllerError)
        assert scene.door.holder == ""

    play(story)


def test_a_stop_ends_the_standby_without_work() -> None:
    async def story(scene: Scene) -> None:
        leader = asyncio.create_task(scene.elector("they").run())
        await scene.pass_time(1)
        asked = asyncio.Event()

        async def work() -> None:
            raise AssertionError("it does not lead")

        task = asyncio.create_task(work_as_leader(scene.elector("me"), asked, work))
        await scene.pass_time(5)
        asked.set()
        await task
        assert scene.door.holder == "they"
        await stop(leader)

    play(story)


def test_the_loss_of_the_lease_is_told_while_the_work_goes_on() -> None:
    async def story(scene: Scene) -> None:
        async def work() -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(work_as_leader(scene.elector("me"), asyncio.Event(), work))
        await scene.pass_time(2)
        scene.door.faults = [TransientError("away")] * 100
        await scene.pass_time(10)
        assert isinstance(task.exception(), LeaseLostError)
        assert scene.door.holder == "me", "what is lost cannot be given back"

    play(story)
