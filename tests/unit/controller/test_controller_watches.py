import asyncio
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from kopf._cogs.clients import watching

from controller.errors import TransientError
from controller.handlers import followed
from controller.metrics import Metrics
from controller.watches import LOOK_SECONDS, SETTLE_SECONDS, SUSPICIOUS_SECONDS, Kind, Watches

KIND = Kind("jobs", "/jobs", "!settled")


class Scene:
    """One watch, and an API server that lists what it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lists: list[list[int]] = [[]]
        self.calls: list[str] = []
        self.is_away = False
        self.metrics = Metrics.build()
        self.watches = Watches((KIND,), self, self.metrics, lambda: self.now)
        self.watches.start()

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[list[dict[str, Any]]]:
        assert query == {"labelSelector": KIND.selector}
        self.calls.append(path)
        if self.is_away:
            raise TransientError("away")
        for versions in self.lists:
            yield [an_object(version) for version in versions]

    def pass_time(self, seconds: float) -> str | None:
        """Look as often as run() would."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + LOOK_SECONDS, end)
            asyncio.run(self.watches.look())
        return self.watches.find_problem()

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"transcription_{name}", labels)


def an_object(version: int) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}}


def test_a_watch_that_shows_something_now_and_then_is_not_asked_about() -> None:
    scene = Scene()
    scene.lists = [[5]]
    for _ in range(20):
        scene.watches.see("jobs", "BOOKMARK", an_object(4))
        assert scene.pass_time(SUSPICIOUS_SECONDS - 1) is None
    assert scene.calls == []


def test_a_silent_watch_is_well_while_there_is_nothing_to_show() -> None:
    scene = Scene()
    scene.watches.see("jobs", "ADDED", an_object(7))
    scene.lists = [[3, 7], [5]]
    assert scene.pass_time(900) is None
    assert len(scene.calls) <= 900 / SUSPICIOUS_SECONDS, "soundness that was found once is believed for a while"


def test_a_silent_watch_is_stalled_when_it_misses_a_change() -> None:
    scene = Scene()
    scene.watches.see("jobs", "ADDED", an_object(7))
    scene.lists = [[3], [8]]
    found = scene.pass_time(SUSPICIOUS_SECONDS + SETTLE_SECONDS + 2 * LOOK_SECONDS)
    assert found is not None
    assert found.startswith("the watch of jobs has shown nothing for ")


def test_a_change_on_its_way_is_waited_for() -> None:
    scene = Scene()
    scene.lists = [[8]]
    assert scene.pass_time(SUSPICIOUS_SECONDS + LOOK_SECONDS) is None
    scene.watches.see("jobs", "ADDED", an_object(8))
    assert scene.pass_time(SUSPICIOUS_SECONDS - LOOK_SECONDS) is None
    assert scene.pass_time(600) is None


def test_a_stalled_watch_is_well_again_when_it_shows_something() -> None:
    scene = Scene()
    scene.lists = [[8]]
    assert scene.pass_time(200) is not None
    scene.watches.see_list("jobs")
    assert scene.watches.find_problem() is None


def test_nothing_is_known_while_the_api_server_is_away() -> None:
    scene = Scene()
    scene.is_away = True
    assert scene.pass_time(900) is None


def test_idle_time_and_events_are_measured() -> None:
    scene = Scene()
    scene.watches.see("jobs", "MODIFIED", an_object(7))
    scene.watches.see("jobs", "BOOKMARK", an_object(9))
    scene.watches.see_list("jobs")
    scene.now += 12
    assert scene.sample("watch_idle_seconds", kind="jobs") == 12
    assert scene.sample("watch_events_total", kind="jobs", type="BOOKMARK") == 1
    assert scene.sample("relists_total", kind="jobs") == 1


def test_what_kopf_sees_is_followed_bookmarks_and_lists_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that this version of Kopf gives them: infinite_watch() calls what we put in its place."""
    listed: list[Any] = [
        {"type": None, "object": an_object(3)},
        watching.Bookmark.LISTED,
        {"type": "ADDED", "object": an_object(4)},
        {"type": "BOOKMARK", "object": an_object(9)},
    ]

    async def continuous_watch(**_: Any) -> AsyncIterator[Any]:
        for event in listed:
            yield event

    monkeypatch.setattr(watching, "continuous_watch", continuous_watch)
    scene = Scene()

    async def watch() -> list[Any]:
        resource: Any = SimpleNamespace(plural="jobs")
        settings: Any = SimpleNamespace(watching=SimpleNamespace(reconnect_backoff=0))
        stream = watching.infinite_watch(settings=settings, resource=resource, namespace="ns", _iterations=1)
        return [event async for event in stream]

    with followed(scene.watches):
        assert asyncio.run(watch()) == listed
    assert watching.continuous_watch is continuous_watch
    types = {
        kind: scene.sample("watch_events_total", kind="jobs", type=kind) for kind in ("LISTED", "ADDED", "BOOKMARK")
    }
    assert types == {"LISTED": 1, "ADDED": 1, "BOOKMARK": 1}
    assert scene.sample("relists_total", kind="jobs") == 1
