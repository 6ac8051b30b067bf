"""What the store writes to one that is there, and who hears of it, against a small API server on loopback."""

import asyncio
from typing import Any

import pytest

from api.doors import ConflictError, UnavailableError
from api.row import Row
from api.store import KubernetesStore
from crds.transcriptionjob import SETTLED_LABEL
from tests.support.cluster_fakes import FakeCluster, names, play, until


async def a_known_row(cluster: FakeCluster, store: KubernetesStore, **status: Any) -> Row:
    cluster.tell("ADDED", cluster.put("a", **status))
    await until(lambda: names(store) == ["a"])
    row = store.rows.get("a")
    assert row is not None
    return row


@pytest.mark.parametrize("counter", ["retries", "redeliveries"])
def test_asking_again_raises_its_counter_and_takes_the_label_off(counter: str) -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store, state="Failed")
        cluster.items["a"]["metadata"]["labels"][SETTLED_LABEL] = "true"
        asked = await (store.retry(row) if counter == "retries" else store.redeliver(row))
        assert asked is not None
        assert getattr(asked, counter) == 1
        assert store.rows.get("a") == asked
        assert SETTLED_LABEL not in cluster.items["a"]["metadata"]["labels"]

    play(story)


@pytest.mark.parametrize("act", ["retry", "redeliver", "delete"])
def test_it_is_a_conflict_when_another_version_is_there(act: str) -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store, state="Failed")
        cluster.put("a", state="Running")
        with pytest.raises(ConflictError):
            await getattr(store, act)(row)
        assert cluster.items["a"]["spec"].get("retries", 0) == 0

    play(story)


def test_it_is_none_when_there_is_nothing_to_ask_again() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store, state="Failed")
        cluster.items.clear()
        assert await store.retry(row) is None
        assert await store.redeliver(row) is None

    play(story)


@pytest.mark.parametrize("is_gone_already", [False, True])
def test_a_deleted_one_is_gone_at_once_and_late_events_do_not_bring_it_back(is_gone_already: bool) -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store, state="Failed")
        late = dict(cluster.items["a"])
        if is_gone_already:
            cluster.items.clear()
        await store.delete(row)
        assert names(store) == []
        assert await store.get("a") is None
        cluster.tell("MODIFIED", late)
        cluster.tell("ADDED", cluster.put("b"))
        await until(lambda: "b" in names(store))
        assert names(store) == ["b"]

    play(story)


def test_one_with_a_finalizer_is_shown_as_being_deleted() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store, state="Failed")
        cluster.items["a"]["metadata"]["finalizers"] = ["a/finalizer"]
        await store.delete(row)
        kept = store.rows.get("a")
        assert kept is not None
        assert kept.is_deleting

    play(story)


def test_everybody_who_waits_hears_of_a_change_and_those_who_gave_up_leave_no_trace() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store)
        waits = [asyncio.create_task(store.wait_for_change("a", row.version)) for _ in range(5)]
        await until(lambda: len(store._waiters) == 5)
        waits.pop().cancel()
        await until(lambda: len(store._waiters) == 4)
        cluster.tell("MODIFIED", cluster.put("a", state="Running"))
        assert {row.state for row in await asyncio.gather(*waits) if row} == {"Running"}
        assert len(store._waiters) == 0

    play(story)


def test_who_waits_hears_of_a_deletion_an_own_write_and_a_relist() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store, state="Failed")
        wait = asyncio.create_task(store.wait_for_change("a", row.version))
        asked = await store.retry(row)
        assert asked is not None
        assert await wait == asked
        wait = asyncio.create_task(store.wait_for_change("a", asked.version))
        cluster.items.clear()
        cluster.tell("ERROR", {"code": 410, "message": "too old"})
        cluster.events.put_nowait(None)
        assert await wait is None

    play(story)


def test_who_waits_is_let_go_when_versions_start_anew() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store)
        wait = asyncio.create_task(store.wait_for_change("a", row.version))
        await until(lambda: len(store._waiters) == 1)
        cluster.version = 1
        cluster.put("a", state="Running")
        cluster.tell("ERROR", {"code": 410, "message": "too old"})
        cluster.events.put_nowait(None)
        seen = await wait
        assert seen is not None
        assert (seen.state, seen.version) == ("Running", 2)

    play(story)


def test_who_waits_is_let_go_when_the_replica_stops() -> None:
    async def story(cluster: FakeCluster, store: KubernetesStore) -> None:
        row = await a_known_row(cluster, store)
        wait = asyncio.create_task(store.wait_for_change("a", row.version))
        await until(lambda: len(store._waiters) == 1)
        store.release()
        for again in (wait, store.wait_for_change("a", row.version)):
            with pytest.raises(UnavailableError):
                await again

    play(story)
