"""An API server whose watches can fall silent: plain HTTP in front of `kubectl proxy`."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.kubectl import Kubectl

PASSED_ON = ("Accept", "Content-Type")


class MutedProxy:
    """While it is muted, watches stay open and show nothing; everything else works."""

    def __init__(self, upstream: str) -> None:
        self.url = ""
        self.is_muted = False
        self._upstream = upstream
        self._watches: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()

    def speak(self) -> None:
        """Watches begin anew, and show all that they have missed."""
        self.is_muted = False
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for transport in self._watches:
            transport.close()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        target = URL(self._upstream + request.raw_path, encoded=True)
        is_watch, transport = request.query.get("watch") == "true", request.transport
        assert transport is not None
        if is_watch:
            self._watches.add(transport)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
                session.request(request.method, target, headers=headers, data=await request.read() or None) as answer,
            ):
                response = web.StreamResponse(status=answer.status)
                response.content_type = answer.content_type
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    if not (is_watch and self.is_muted):
                        await response.write(chunk)
                await response.write_eof()
                return response
        finally:
            self._watches.discard(transport)

    async def _serve(self, started: threading.Event, stopped: asyncio.Event) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stopped.wait()
        await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator["MutedProxy"]:
        started, stopped = threading.Event(), asyncio.Event()

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._serve(started, stopped))
            self._loop.close()

        thread = threading.Thread(target=serve)
        thread.start()
        started.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(stopped.set)
            thread.join()

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "muted",
            "clusters": [{"name": "muted", "cluster": {"server": self.url}}],
            "users": [{"name": "muted", "user": {}}],
            "contexts": [{"name": "muted", "context": {"cluster": "muted", "user": "muted"}}],
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path


@contextmanager
def a_muted_proxy(kubectl: Kubectl) -> Iterator[MutedProxy]:
    """In front of the cluster, for as long as the block runs."""
    process = subprocess.Popen(kubectl.words("proxy", "--port=0"), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        upstream = f"http://{line.rpartition(' ')[2].strip()}"
        with MutedProxy(upstream).running() as proxy:
            yield proxy
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
