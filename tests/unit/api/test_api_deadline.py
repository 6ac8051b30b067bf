"""A bound that costs nothing where nothing is waited for, and holds where something is."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from api.deadline import within

NEVER = 3600.0


def run(work: Coroutine[Any, Any, str], seconds: float = NEVER) -> str:
    return asyncio.run(within(seconds, work))


async def answer(text: str) -> str:
    return text


async def turn_around(text: str) -> str:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return text


def test_work_that_never_waits_sets_no_timer() -> None:
    async def count_timers() -> int:
        timers: list[float] = []
        loop = asyncio.get_running_loop()
        loop.call_at = lambda when, *_, **__: timers.append(when)  # type: ignore[assignment,method-assign,return-value]
        assert await within(0, answer("done")) == "done"
        return len(timers)

    assert asyncio.run(count_timers()) == 0


def test_work_that_waits_goes_on_to_its_end() -> None:
    assert run(turn_around("done")) == "done"


def test_what_waits_too_long_is_cancelled() -> None:
    seen: list[str] = []

    async def wait_for_ever() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "done"

    with pytest.raises(TimeoutError):
        run(wait_for_ever(), 0)
    assert seen == ["cancelled"]


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_of_the_work_comes_out_as_it_is(waits: bool) -> None:
    async def fail() -> str:
        if waits:
            await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(fail())


def test_an_error_that_is_waited_for_reaches_the_work_which_may_go_on() -> None:
    async def survive() -> str:
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(broken.set_exception, ConnectionError())
        try:
            await broken
        except ConnectionError:
            return await turn_around("survived")
        return "never"

    assert run(survive()) == "survived"


def test_a_caller_who_is_cancelled_is_no_timeout() -> None:
    async def cancel() -> str:
        has_begun = asyncio.Event()

        async def wait_for_ever() -> str:
            has_begun.set()
            await asyncio.Event().wait()
            return "done"

        task = asyncio.create_task(within(NEVER, wait_for_ever()))
        await has_begun.wait()
        task.cancel()
        return await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())


def test_a_shorter_bound_inside_is_its_own() -> None:
    async def give_up() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "gave up"
        return "never"

    assert run(give_up()) == "gave up"


def test_a_shorter_bound_outside_is_not_taken_for_the_one_inside() -> None:
    async def wait_long() -> str:
        try:
            async with asyncio.timeout(NEVER):
                await asyncio.Event().wait()
        except TimeoutError:
            return "never"
        return "never"

    with pytest.raises(TimeoutError):
        run(wait_long(), 0)
