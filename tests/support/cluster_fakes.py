"""A small API server on loopback that lists, watches and writes as a real one does, and a store that uses it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from api.apiserver import Observer, ignore
from api.row import Row
from api.store import KubernetesStore
from crds.transcriptionjob import Spec
from tests.support.api_fakes import a_manifest

PATH = "/apis/transcription.ecg.dev/v1alpha1/namespaces/transcription/transcriptionjobs"
SPEC = Spec.model_validate({"source": {"bucket": "media", "key": "videos/a.mp4"}})
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
            return self._patch(name, await request.json())
        if request.method == "DELETE":
            return self._delete(name, await request.json())
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

    def _patch(self, name: str, patch: dict[str, Any]) -> web.Response:
        item, meta = self.items[name], patch.get("metadata", {})
        if not self._is_met(item, meta):
            return web.json_response({"code": 409, "reason": "Conflict"}, status=409)
        self.version += 1
        labels = item["metadata"].get("labels", {}) | meta.get("labels", {})
        item["metadata"]["labels"] = {key: value for key, value in labels.items() if value is not None}
        item["metadata"]["resourceVersion"] = str(self.version)
        item["spec"] |= patch["spec"]
        return web.json_response(item)

    def _delete(self, name: str, options: dict[str, Any]) -> web.Response:
        """One with a finalizer stays until that is taken off."""
        item = self.items[name]
        assert options["propagationPolicy"] == "Background"
        if not self._is_met(item, options["preconditions"]):
            return web.json_response({"code": 409, "reason": "Conflict"}, status=409)
        self.version += 1
        if item["metadata"].get("finalizers"):
            item["metadata"] |= {"deletionTimestamp": "2025-09-11T03:45:48Z", "resourceVersion": str(self.version)}
            return web.json_response(item)
        del self.items[name]
        return web.json_response({"kind": "Status", "status": "Success"})

    def _is_met(self, item: dict[str, Any], wanted: dict[str, Any]) -> bool:
        return all(
            wanted.get(key, item["metadata"][key]) == item["metadata"][key] for key in ("uid", "resourceVersion")
        )

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
async def a_store(
    cluster: FakeCluster, call_seconds: float, observe: Observer = ignore
) -> AsyncIterator[KubernetesStore]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    async def connect() -> ApiClient:
        """The client loads the system's certificates each time, which takes longer than a test."""
        configuration = Configuration()
        configuration.host = site.name
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ssl, "create_default_context", lambda **_: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            return ApiClient(configuration)

    store = KubernetesStore("transcription", connect, call_seconds, pause_seconds=0.01, observe=observe)
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


def everything(store: KubernetesStore) -> list[Row]:
    """All that it keeps, newest first."""
    return store.rows.page(lambda _: True, None, 10_000)


def names(store: KubernetesStore) -> list[str]:
    return [row.name for row in everything(store)]


Story = Callable[[FakeCluster, KubernetesStore], Awaitable[None]]


def play(
    story: Story,
    cluster: FakeCluster | None = None,
    call_seconds: float = PATIENCE_SECONDS,
    observe: Observer = ignore,
) -> None:
    async def run() -> None:
        server = cluster or FakeCluster()
        async with a_store(server, call_seconds, observe) as store:
            await story(server, store)

    asyncio.run(run())
