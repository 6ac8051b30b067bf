"""The store against a small API server on loopback that lists, watches and writes as a real one does."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from api_fakes import a_manifest
from kubernetes.aio.client import ApiClient, Configuration

from api.doors import AlreadyExistsError, RefusedError, UnavailableError
from api.store import KubernetesStore
from crds.transcriptionjob import Spec

PATH = "/apis/transcription.ecg.dev/v1alpha1/namespaces/transcription/transcriptionjobs"
SPEC = Spec.model_validate({"source": {"bucket": "media", "key": "videos/a.mp4"}})


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client loads the system's certificates each time, which takes longer than a test."""
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


class FakeCluster:
    """Answers as it is told; `events` feeds the open watch, None ends it."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.version = 10
        self.page_size = 500
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.seen: list[tuple[str, str]] = []
        self.watches: list[str] = []
        self.refusals: list[tuple[int, str]] = []
        self.is_hanging = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            return await self._watch(request)
        self.seen.append((request.method, request.path.removeprefix(PATH)))
        if self.is_hanging:
            await asyncio.Event().wait()
        if self.refusals:
            code, message = self.refusals.pop(0)
            return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)
        if request.method == "POST":
            return self._create(await request.json())
        name = request.path.removeprefix(PATH).strip("/")
        if not name:
            return self._list(request)
        if name not in self.items:
            return web.json_response({"code": 404}, status=404)
        if request.method == "PATCH":
            assert request.content_type == "application/merge-patch+json"
            self.version += 1
            self.items[name]["spec"] |= (await request.json())["spec"]
            self.items[name]["metadata"]["resourceVersion"] = str(self.version)
        return web.json_response(self.items[name])

    def put(self, name: str, **status: Any) -> dict[str, Any]:
        self.version += 1
        self.items[name] = a_manifest(name, self.version, status)
        return self.items[name]

    def tell(self, kind: str, manifest: dict[str, Any]) -> None:
        self.events.put_nowait({"type": kind, "object": manifest})

    def _create(self, body: dict[str, Any]) -> web.Response:
        if body["metadata"]["name"] in self.items:
            return web.json_response({"code": 409, "reason": "AlreadyExists"}, status=409)
        made = self.put(body["metadata"]["name"])
        made["metadata"]["annotations"] = body["metadata"].get("annotations", {})
        return web.json_response(made, status=201)

    def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("continue") or 0)
        items = list(self.items.values())
        following = start + self.page_size
        meta = {"resourceVersion": str(self.version), "continue": str(following) if following < len(items) else ""}
        return web.json_response({"metadata": meta, "items": items[start:following]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches.append(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


@asynccontextmanager
async def a_store(cluster: FakeCluster, call_seconds: float) -> AsyncIterator[KubernetesStore]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    async def connect() -> ApiClient:
        configuration = Configuration()
        configuration.host = site.name
        return ApiClient(configuration)

    store = KubernetesStore("transcription", connect, call_seconds)
    await store.start()
    try:
        await until(lambda: store.is_synced and bool(cluster.watches))
        yield store
    finally:
        await store.stop()
        await runner.cleanup()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110  # the store tells nobody what it has seen
            await asyncio.sleep(0.002)


Story = Callable[[FakeCluster, KubernetesStore], Awaitable[None]]


def play(story: Story, cluster: FakeCluster | None = None, call_seconds: float = 0.5) -> None:
    async def run() -> None:
        server = cluster or FakeCluster()
        async with a_store(server, call_seconds) as store:
            await story(server, store)

    asyncio.run(run())


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
        assert store.age_seconds < 5

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

    play(story, call_seconds=0.1)
