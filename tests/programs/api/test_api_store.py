"""The store against a small API server on loopback."""

import asyncio
import ssl
from typing import Any

import pytest

from api.doors import AlreadyExistsError, RefusedError, UnavailableError
from api.store import CALL_SECONDS, CREATE_SECONDS, KubernetesStore
from crds.transcriptionjob import Spec
from tests.support.cluster_fakes import FakeCluster, play, until

SPEC = Spec.model_validate({"source": {"bucket": "media", "key": "videos/a.mp4"}})


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client loads the system's certificates each time, which takes longer than a test."""
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def names(store: KubernetesStore) -> list[str]:
    return [row.name for row in store.list()]


def test_all_pages_are_listed_newest_first() -> None:
    cluster = FakeCluster()
    cluster.page_size = 2
    for n in range(5):
        cluster.put(f"job-{n}")

    async def story(_: FakeCluster, store: KubernetesStore) -> None:
        assert names(store) == [f"job-{n}" for n in (4, 3, 2, 1, 0)]

    play(story, cluster)


def test_events_change_the_cache_and_a_hit_asks_nobody() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.tell("ADDED", cluster.put("a"))
        await until(lambda: names(store) == ["a"])
        cluster.tell("MODIFIED", cluster.put("a", state="Running"))
        await until(lambda: store.list()[0].state == "Running")
        asked = len(cluster.seen)
        row = await store.get("a")
        assert row is not None
        assert len(cluster.seen) == asked
        cluster.version += 1
        gone = cluster.items.pop("a")
        gone["metadata"]["resourceVersion"] = str(cluster.version)
        cluster.tell("DELETED", gone)
        await until(lambda: names(store) == [])
        assert await store.get("a") is None

    play(story)


def test_a_miss_is_looked_up_once() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.put("late")
        row = await store.get("late")
        assert row is not None
        assert cluster.seen[-1] == ("GET", "/late")
        assert await store.get("nobody") is None

    play(story)


def test_what_was_created_is_read_at_once_and_no_old_event_undoes_it() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        made = await store.create("a", SPEC, {"transcription.ecg.dev/request": "digest"})
        assert made.request_digest == "digest"
        asked = len(cluster.seen)
        assert await store.get("a") == made
        assert len(cluster.seen) == asked
        with pytest.raises(AlreadyExistsError):
            await store.create("a", SPEC, {})

    play(story)


def test_many_identical_creations_make_one() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        tries = [store.create("a", SPEC, {}) for _ in range(20)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(answer, AlreadyExistsError) for answer in done) == 19
        assert list(cluster.items) == ["a"]

    play(story)


def test_cancel_sets_the_spec() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.put("a")
        row = await store.cancel("a")
        assert row is not None
        assert row.cancel
        assert await store.cancel("nobody") is None

    play(story)


def test_an_ended_watch_goes_on_where_it_was() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.tell("ADDED", cluster.put("a"))
        bookmark = {"metadata": {"resourceVersion": "500"}}
        cluster.tell("BOOKMARK", bookmark)
        cluster.events.put_nowait(None)
        await until(lambda: len(cluster.watches) == 2)
        assert cluster.watches == ["10", "500"]
        assert names(store) == ["a"]
        assert [call for call in cluster.seen if call == ("GET", "")] == [("GET", "")]

    play(story)


def test_a_watch_that_is_too_old_lists_again_and_drops_what_is_gone() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.tell("ADDED", cluster.put("gone"))
        await until(lambda: names(store) == ["gone"])
        cluster.items.clear()
        cluster.put("new")
        cluster.tell("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        cluster.events.put_nowait(None)
        await until(lambda: names(store) == ["new"])

    play(story)


def test_one_that_cannot_be_read_does_not_hide_the_others() -> None:
    cluster = FakeCluster()
    cluster.put("good")
    cluster.put("odd", state="FromTheFuture")

    async def story(_: FakeCluster, store: KubernetesStore) -> None:
        assert names(store) == ["good"]

    play(story, cluster)


def test_a_broken_line_does_not_end_the_watching() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.tell("ERROR", {"code": 500, "message": "etcd is away"})
        cluster.events.put_nowait(None)
        cluster.tell("ADDED", cluster.put("a"))
        await until(lambda: names(store) == ["a"])
        assert store.is_following
        assert store.age_seconds < 60

    play(story)


@pytest.mark.parametrize(
    ("code", "error"), [(422, RefusedError), (400, RefusedError), (403, UnavailableError), (500, UnavailableError)]
)
def test_refusals_are_translated(code: int, error: type[Exception]) -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.refusals.append((code, "no"))
        with pytest.raises(error):
            await store.create("a", SPEC, {})

    play(story)


def test_a_server_that_hangs_is_unavailable_and_the_cache_still_answers() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.tell("ADDED", cluster.put("a"))
        await until(lambda: names(store) == ["a"])
        cluster.is_hanging = True
        with pytest.raises(UnavailableError):
            await store.read("a")
        assert await store.get("a") is not None

    play(story, call_seconds=0.05)


def test_a_watch_that_keeps_failing_lists_again() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        for _ in range(5):
            cluster.tell("ERROR", {"code": 504, "message": "Too large resource version"})
            cluster.events.put_nowait(None)
        cluster.put("restored")
        await until(lambda: names(store) == ["restored"])

    play(story)


def test_a_conflict_that_is_no_taken_name_is_unavailable() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.refusals.append((409, "the namespace is being changed"))
        with pytest.raises(UnavailableError):
            await store.create("a", SPEC, {})

    play(story)


def test_one_that_became_unreadable_is_forgotten_and_answered_as_unavailable() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.tell("ADDED", cluster.put("a"))
        await until(lambda: names(store) == ["a"])
        cluster.tell("MODIFIED", cluster.put("a", state="FromTheFuture"))
        await until(lambda: names(store) == [])
        with pytest.raises(UnavailableError):
            await store.get("a")

    play(story)


def test_a_creation_may_take_longer_than_other_calls() -> None:
    assert CREATE_SECONDS > CALL_SECONDS

    async def story(_: FakeCluster, store: KubernetesStore) -> None:
        deadlines: dict[str, float] = {}
        send = store._send

        async def note(method: str, path: str, body: Any, query: Any, patience: Any) -> Any:
            deadlines[method] = patience.total
            return await send(method, path, body, query, patience)

        store._send = note  # type: ignore[method-assign]
        await store.create("a", SPEC, {})
        await store.read("a")
        assert deadlines["POST"] / deadlines["GET"] == CREATE_SECONDS / CALL_SECONDS

    play(story)
