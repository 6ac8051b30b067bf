"""A small API server on loopback that lists, watches and writes as a real one does, and a store that uses it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from api.store import KubernetesStore
from tests.support.api_fakes import a_manifest

PATH = "/apis/transcription.ecg.dev/v1alpha1/namespaces/transcription/transcriptionjobs"
PATIENCE_SECONDS = 60
"""Nothing takes so long, however busy the machine is."""


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

    store = KubernetesStore("transcription", connect, call_seconds, pause_seconds=0.01)
    await store.start()
    try:
        await until(lambda: store.is_synced and bool(cluster.watches))
        yield store
    finally:
        await store.stop()
        await runner.cleanup()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110  # the store tells nobody what it has seen
            await asyncio.sleep(0.002)


Story = Callable[[FakeCluster, KubernetesStore], Awaitable[None]]


def play(story: Story, cluster: FakeCluster | None = None, call_seconds: float = PATIENCE_SECONDS) -> None:
    async def run() -> None:
        server = cluster or FakeCluster()
        async with a_store(server, call_seconds) as store:
            await story(server, store)

    asyncio.run(run())
