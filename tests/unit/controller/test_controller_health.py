import asyncio
from datetime import timedelta
from typing import Any

from controller.handlers import STUCK_AFTER, Runners
from controller.health import BLOCKED_AFTER_SECONDS, Health, find_end
from tests.support.controller_fakes import Clock
from tests.support.controller_operator import FakeCluster, Operator


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_all_that_is_wrong_is_told() -> None:
    found: list[str | None] = [None, "one", "two"]
    health = Health(Time())
    health.add(*(lambda problem=problem: problem for problem in found))
    assert health.find_problems() == []
    health.tick()
    assert health.find_problems() == ["one", "two"]


def test_a_problem_that_has_gone_is_not_told_any_more() -> None:
    found: list[str | None] = ["slow"]
    health = Health(Time())
    health.add(lambda: found[0])
    health.tick()
    found[0] = None
    health.tick()
    assert health.find_problems() == []


def test_a_loop_that_does_not_tick_is_blocked() -> None:
    time = Time()
    health = Health(time)
    health.tick()
    time.now += BLOCKED_AFTER_SECONDS
    assert health.find_problems() == []
    time.now += 10
    assert health.find_problems() == ["the event loop is blocked for 30 s"]
    health.tick()
    assert health.find_problems() == []


def test_the_worst_lag_of_the_last_minute_is_kept() -> None:
    health = Health(Time())
    assert health.worst_lag == 0
    health.tick(3)
    for _ in range(59):
        health.tick(-0.001)
    assert health.worst_lag == 3
    health.tick(0.5)
    assert health.worst_lag == 0.5


def an_operator() -> Operator:
    clock = Clock()
    return Operator(FakeCluster(), clock)


def test_an_old_key_in_the_queue_is_a_problem() -> None:
    operator = an_operator()
    runners = Runners(operator.loop, asyncio.Event())

    async def story() -> None:
        runners.start()
        operator.loop.queue.add("clip")
        operator.clock.advance(STUCK_AFTER.total_seconds())
        assert runners.find_problem() is None
        operator.clock.advance(1)
        assert runners.find_problem() == f"a key has waited for {(STUCK_AFTER + timedelta(seconds=1)).seconds} s"
        await runners.stop()

    asyncio.run(story())


def test_a_loop_that_fails_is_a_problem_and_ends_the_process() -> None:
    loop: Any = an_operator().loop

    async def fail() -> None:
        raise RuntimeError("broken")

    loop.run = fail

    async def story() -> None:
        stop_flag = asyncio.Event()
        runners = Runners(loop, stop_flag)
        assert runners.find_problem() is None, "it has not begun"
        runners.start()
        await asyncio.wait_for(stop_flag.wait(), 5)
        assert runners.find_problem() == "the loop has ended"
        await runners.stop()

    asyncio.run(story())


def test_a_loop_that_is_stopped_stops_nothing_else() -> None:
    async def story() -> None:
        stop_flag = asyncio.Event()
        runners = Runners(an_operator().loop, stop_flag)
        runners.start()
        await asyncio.sleep(0)
        await runners.stop()
        assert not stop_flag.is_set()

    asyncio.run(story())


def test_a_task_that_should_run_for_ever_is_missed_when_it_has_ended() -> None:
    async def story() -> None:
        tasks: list[Any] = [asyncio.create_task(asyncio.sleep(0), name=name) for name in ("one", "two")]
        assert find_end(tasks) is None
        await asyncio.gather(*tasks)
        assert find_end(tasks) == "the task one has ended"

    asyncio.run(story())
