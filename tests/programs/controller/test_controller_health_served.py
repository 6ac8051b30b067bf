"""The probe over HTTP: it answers while the event loop cannot."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from controller import health as module
from controller.health import Health, serve_health


@pytest.fixture
def served() -> Iterator[tuple[Health, str]]:
    health = Health()
    server = serve_health(health, 0, "127.0.0.1")
    yield health, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask(url: str) -> tuple[int, list[str]]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)["problems"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["problems"] if error.code == 503 else []


def test_a_sound_process_answers_200_and_a_sick_one_says_what_it_is(served: tuple[Health, str]) -> None:
    health, url = served
    assert ask(f"{url}/healthz") == (200, [])
    health.add(lambda: "the watch is stalled")
    health.tick()
    assert ask(f"{url}/healthz?verbose") == (503, ["the watch is stalled"])
    assert ask(f"{url}/other") == (404, [])


def test_a_blocked_event_loop_is_told_by_the_thread(
    served: tuple[Health, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    health, url = served
    monkeypatch.setattr(module, "BLOCKED_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)
    blocked, free = threading.Event(), threading.Event()

    async def block() -> None:
        ticking = asyncio.create_task(health.run())
        await asyncio.sleep(0)
        blocked.set()
        free.wait(10)  # that is the point
        while health.worst_lag == 0:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0)
        ticking.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(block()))
    thread.start()
    blocked.wait(10)
    code, problems = 200, []
    while code == 200:
        code, problems = ask(f"{url}/healthz")
    free.set()
    thread.join()
    assert problems == ["the event loop is blocked for 0 s"]
    assert health.worst_lag > 0.04
