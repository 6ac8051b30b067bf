"""A submit when S3 or Kubernetes accepts and does not answer: the real store over a small API server on loopback."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from api.apiserver import CALL_SECONDS
from api.auth import Caller, OpenGate
from api.doors import StoredObject, UnavailableError
from api.metrics import Metrics
from api.rates import build_rates
from api.row import Row
from api.schemas import RequestProcessRequest
from api.store import KubernetesStore
from api.submit import submit
from api.wiring import SUBMIT_SECONDS, Parts, build_storage
from tests.support.api_fakes import NOW, VIDEO_URL, FakeUploads, some_settings
from tests.support.cluster_fakes import FakeCluster, play

SECONDS = 0.4
"""The budget here; the store's own deadline is a little shorter, as in the API."""

ASKED = RequestProcessRequest(video_url=VIDEO_URL)


class MuteCluster(FakeCluster):
    """Carries creations out; where it is mute it does not say so, where it is curt it hangs up the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_mute = False
        self.is_curt = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        answer = await super().answer(request)
        if request.method == "POST" and self.is_curt:
            self.is_curt = False
            assert request.transport is not None
            request.transport.close()
        elif request.method == "POST" and self.is_mute:
            await asyncio.Event().wait()
        return answer

    @property
    def creations(self) -> int:
        return self.seen.count(("POST", ""))


class LateUploads(FakeUploads):
    """Answers after so long."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = seconds

    async def head(self, key: str) -> StoredObject | None:
        silent = asyncio.Event()
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, silent.set)
        await silent.wait()
        return await super().head(key)


def parts_over(store: KubernetesStore, uploads: FakeUploads | None = None) -> Parts:
    settings = some_settings()
    return Parts(
        settings,
        store,
        uploads or FakeUploads(),
        Metrics(),
        build_storage(settings),
        OpenGate(),
        build_rates(settings),
        lambda: NOW,
        submit_seconds=SECONDS,
    )


async def give_up(submitting: Coroutine[Any, Any, Row]) -> float:
    """How long it takes, in budgets, until it is known to be unavailable."""
    begin = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(submitting, 10 * SECONDS)
    return (asyncio.get_running_loop().time() - begin) / SECONDS


def play_hanging(story: Callable[[MuteCluster, KubernetesStore], Awaitable[None]]) -> None:
    cluster = MuteCluster()

    async def on(_: FakeCluster, store: KubernetesStore) -> None:
        await story(cluster, store)

    play(on, cluster, call_seconds=SECONDS * CALL_SECONDS / SUBMIT_SECONDS)


def test_the_budgets_leave_time_for_the_answer() -> None:
    assert CALL_SECONDS < SUBMIT_SECONDS < 2


@pytest.mark.parametrize("is_new", [False, True])
def test_a_submit_gives_up_in_time_and_asks_once_when_kubernetes_hangs(is_new: bool) -> None:
    async def story(cluster: MuteCluster, store: KubernetesStore) -> None:
        cluster.is_hanging = True
        took = await give_up(submit("a", ASKED, parts_over(store), Caller(), known_as=() if is_new else None))
        assert took < 1.6
        assert cluster.creations == int(is_new)
        assert store.rows.live == 0

    play_hanging(story)


@pytest.mark.parametrize("is_new", [False, True])
def test_an_unanswered_creation_that_took_effect_is_found_when_it_is_asked_for_again(is_new: bool) -> None:
    async def story(cluster: MuteCluster, store: KubernetesStore) -> None:
        parts = parts_over(store)
        cluster.is_mute = True
        took = await give_up(submit("a", ASKED, parts, Caller(), known_as=() if is_new else None))
        assert took < 1.6
        assert not parts.submitting
        cluster.is_mute = False
        row = await submit("a", ASKED, parts, Caller())
        assert (row.name, cluster.creations, list(cluster.items)) == ("a", 1, ["a"])

    play_hanging(story)


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("s3_seconds", [None, 0.7 * SECONDS])
def test_the_times_of_s3_and_kubernetes_do_not_add_up(s3_seconds: float | None, is_new: bool) -> None:
    async def story(cluster: MuteCluster, store: KubernetesStore) -> None:
        cluster.is_mute = True
        parts = parts_over(store, LateUploads(s3_seconds))
        took = await give_up(submit("a", ASKED, parts, Caller(), known_as=() if is_new else None))
        assert took < 1.6
        assert cluster.creations == int(s3_seconds is not None)

    play_hanging(story)


def test_a_broken_connection_is_followed_by_a_second_try_that_finds_the_first() -> None:
    async def story(cluster: MuteCluster, store: KubernetesStore) -> None:
        cluster.is_curt = True
        row = await submit("a", ASKED, parts_over(store), Caller(), known_as=())
        assert (row.name, cluster.creations) == ("a", 2)

    play_hanging(story)


def test_the_second_try_has_what_is_left_of_the_time() -> None:
    async def story(cluster: MuteCluster, store: KubernetesStore) -> None:
        cluster.is_curt = cluster.is_mute = True
        took = await give_up(submit("a", ASKED, parts_over(store), Caller(), known_as=()))
        assert took < 1.6
        assert cluster.creations == 2

    play_hanging(story)
