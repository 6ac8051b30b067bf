import asyncio
from datetime import timedelta

from controller.queue import KeyQueue
from tests.support.controller_fakes import NOW, Clock


async def take_all(queue: KeyQueue) -> list[str]:
    keys = []
    while len(queue):
        keys.append(await queue.get())
        queue.done(keys[-1])
    return keys


def test_key_comes_once_when_it_is_added_twice() -> None:
    async def scene() -> list[str]:
        queue = KeyQueue(Clock())
        for key in ("a", "b", "a"):
            queue.add(key)
        return await take_all(queue)

    assert asyncio.run(scene()) == ["a", "b"]


def test_urgent_keys_come_first_and_others_still_come() -> None:
    async def scene() -> list[str]:
        queue = KeyQueue(Clock())
        for key in ("a", "b"):
            queue.add(key)
        for key in "123456":
            queue.add(key, urgent=True)
        return await take_all(queue)

    assert asyncio.run(scene()) == ["1", "2", "3", "a", "4", "5", "6", "b"]


def test_key_comes_again_when_it_is_added_while_worked_on() -> None:
    async def scene() -> list[str]:
        queue = KeyQueue(Clock())
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        assert len(queue) == 0
        queue.done(key)
        return await take_all(queue)

    assert asyncio.run(scene()) == ["a"]


def test_key_comes_at_its_deadline_and_not_before() -> None:
    async def scene() -> None:
        clock = Clock()
        queue = KeyQueue(clock)
        queue.wake_at("a", clock() + timedelta(seconds=10))
        assert queue.release_due() == timedelta(seconds=10)
        assert len(queue) == 0
        clock.advance(10)
        queue.release_due()
        assert await take_all(queue) == ["a"]

    asyncio.run(scene())


def test_last_deadline_counts_when_it_is_set_again() -> None:
    async def scene() -> None:
        clock = Clock()
        queue = KeyQueue(clock)
        queue.wake_at("a", clock() + timedelta(seconds=1))
        queue.wake_at("a", clock() + timedelta(seconds=9))
        queue.wake_at("b", clock() + timedelta(seconds=1))
        queue.wake_at("b", None)
        clock.advance(5)
        queue.release_due()
        assert len(queue) == 0
        clock.advance(5)
        queue.release_due()
        assert await take_all(queue) == ["a"]

    asyncio.run(scene())


def test_pause_doubles_when_the_key_fails_again_and_is_capped() -> None:
    async def scene() -> list[float]:
        clock = Clock()
        queue = KeyQueue(clock)
        pauses = []
        for _ in range(12):
            queue.add("a")
            pauses.append(queue.retry(await queue.get()).total_seconds())
        queue.add("a")
        queue.done(await queue.get())
        queue.add("a")
        return [*pauses, queue.retry(await queue.get()).total_seconds()]

    pauses = asyncio.run(scene())
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses[11] == 120
    assert pauses[12] == 0.2


def test_age_is_that_of_the_key_that_waits_longest() -> None:
    async def scene() -> None:
        clock = Clock()
        queue = KeyQueue(clock)
        assert queue.oldest_age == timedelta()
        queue.add("a")
        clock.advance(7)
        queue.add("b")
        assert queue.oldest_age == timedelta(seconds=7)

    asyncio.run(scene())


def test_waiting_runner_gets_the_key_when_its_time_comes() -> None:
    async def scene() -> str:
        queue = KeyQueue(Clock())
        pump = asyncio.create_task(queue.run())
        runner = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.wake_at("a", Clock()())
        key = await asyncio.wait_for(runner, 1)
        pump.cancel()
        return key

    assert asyncio.run(scene()) == "a"


def test_the_wait_of_each_key_is_told() -> None:
    async def scene() -> list[float]:
        clock, waits = Clock(), list[float]()
        queue = KeyQueue(clock, waits.append)
        queue.add("a")
        clock.advance(3)
        queue.add("b")
        clock.advance(1)
        await take_all(queue)
        return waits

    assert asyncio.run(scene()) == [4, 1]


def test_memory_does_not_grow_when_the_same_deadline_is_set_again_and_again() -> None:
    queue = KeyQueue(Clock())
    for _ in range(1000):
        queue.wake_at("a", NOW + timedelta(days=1))
    assert len(queue._heap) == 1
