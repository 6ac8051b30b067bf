"""Places that are few: what one caller may hold, and when a place is free again."""

import asyncio
import threading
from contextlib import AsyncExitStack, suppress

import pytest

from api.bodies import THREAD_BYTES, work_alone
from api.seats import NoSeatError, Seats


def test_a_caller_gets_half_of_the_seats_and_leaves_the_others() -> None:
    async def run() -> None:
        seats = Seats(4)
        async with AsyncExitStack() as held:
            for name in ("a", "a", "b"):
                await held.enter_async_context(seats.take(name, 1))
            with pytest.raises(NoSeatError):
                await held.enter_async_context(seats.take("a", 0.01))
            await held.enter_async_context(seats.take("b", 1))
            with pytest.raises(NoSeatError):
                await held.enter_async_context(seats.take("c", 0.01))
        async with seats.take("c", 1), seats.take("c", 1), seats.take("a", 1):
            assert not seats._free.locked()

    asyncio.run(run())


def test_one_seat_is_for_anybody() -> None:
    async def run() -> None:
        seats = Seats(1)
        async with seats.take("a", 1):
            with pytest.raises(NoSeatError):
                await seats.take("b", 0.01).__aenter__()
        async with seats.take("b", 1):
            assert seats._free.locked()

    asyncio.run(run())


def test_a_timeout_within_the_block_is_no_want_of_seats() -> None:
    async def run() -> None:
        async with Seats(1).take("a", 1):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(run())


def test_a_place_is_free_when_the_thread_is_done_and_not_when_nobody_waits_for_it_any_more() -> None:
    async def run() -> None:
        place, has_begun, may_end = asyncio.Semaphore(1), asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work(_: bytes) -> bool:
            loop.call_soon_threadsafe(has_begun.set)
            return may_end.wait(10)

        working = asyncio.create_task(work_alone(place, b"x" * (THREAD_BYTES + 1), work))
        await has_begun.wait()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        assert (working.cancelled(), place.locked()) == (True, True)
        may_end.set()
        async with asyncio.timeout(5):
            await place.acquire()

    asyncio.run(run())


def test_who_leaves_before_its_turn_holds_nobody_up() -> None:
    async def run() -> None:
        place = asyncio.Semaphore(1)
        async with place:
            waiting = asyncio.create_task(work_alone(place, b"x", len))
            await asyncio.sleep(0)
            waiting.cancel()
        assert await work_alone(place, b"x", len) == 1

    asyncio.run(run())
