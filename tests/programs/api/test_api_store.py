"""The store against a small API server on loopback."""

import asyncio
import time

import pytest

from api.doors import AlreadyExistsError, ConflictError, RefusedError, UnavailableError
from api.store import KubernetesStore, _parse_rows
from tests.support.cluster_fakes import SPEC, FakeCluster, everything, names, play, until


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
        await until(lambda: everything(store)[0].state == "Running")
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


def test_a_call_that_is_given_up_is_told_as_unavailable() -> None:
    told: list[tuple[str, str]] = []

    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        cluster.is_hanging = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.create("a", SPEC, {})
        assert told[-1] == ("create", "unavailable")

    play(story, observe=lambda operation, outcome, _: told.append((operation, outcome)))


def test_each_call_is_told_with_its_outcome() -> None:
    told: list[tuple[str, str]] = []

    def observe(operation: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        told.append((operation, outcome))

    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await store.create("a", SPEC, {})
        with pytest.raises(AlreadyExistsError):
            await store.create("a", SPEC, {})
        await store.retry(row)
        with pytest.raises(ConflictError):
            await store.delete(row)
        await store.read("nobody")
        cluster.refusals += [(422, "no"), (500, "etcd is away")]
        for error in (RefusedError, UnavailableError):
            with pytest.raises(error):
                await store.create("b", SPEC, {})

    play(story, observe=observe)
    assert told[:2] == [("list", "ok"), ("watch", "ok")]
    assert told[2:9] == [
        ("create", "ok"),
        ("create", "conflict"),
        ("patch", "ok"),
        ("delete", "conflict"),
        ("get", "not_found"),
        ("create", "refused"),
        ("create", "unavailable"),
    ]


def test_five_thousand_are_listed_without_a_stall() -> None:
    """The longest step between two turns of others, in CPU time; a few milliseconds on a machine of its own."""
    cluster = FakeCluster()
    for n in range(5000):
        cluster.put(f"job-{n}", state="Succeeded", conditions=[])
    pages = [cluster.items[f"job-{n}"] for n in range(5000)]

    async def run() -> float:
        longest, before = 0.0, time.thread_time()
        parsing = asyncio.create_task(_parse_rows(pages))
        while not parsing.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
        assert len(await parsing) == 5000
        return longest

    assert asyncio.run(run()) < 0.1
