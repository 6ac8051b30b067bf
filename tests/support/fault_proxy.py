"""A proxy between one controller and the API server, which can go wrong exactly where a test says.

It passes the caller's token on, so that its rights and the admission policies stay true, and writes down every call.
Tests run in another thread than it does: rules may be added and taken away at any time.
"""

import asyncio
import json
import ssl
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.kubectl import Kubectl
from tests.support.watch_faults import WatchFault, spoil

PASSED_ON = ("Accept", "Authorization", "Content-Type", "User-Agent")
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Call:
    """A request as it came in; resource has its subresource: transcriptionjobs/status."""

    verb: str
    resource: str
    name: str
    is_watch: bool
    body: Any = None
    time: float = 0.0


class Action:
    """What a rule does to a call; this one does nothing."""

    is_taken = False
    """Whether a call came that it is for."""

    async def before(self, _call: Call) -> web.Response | None:
        """Before it is passed on; an answer means that it is not."""
        return None

    async def after(self, _call: Call) -> bool:
        """After it took effect; False has the caller never hear of it."""
        return True


@dataclass
class Answer(Action):
    """An answer of the proxy's own."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)

    async def before(self, call: Call) -> web.Response | None:
        body = {"kind": "Status", "apiVersion": "v1", "code": self.code, "message": f"{call.verb} cannot be served"}
        return web.json_response(body, status=self.code, headers=self.headers)


class Lose(Action):
    """The call takes effect, and its answer is lost."""

    async def after(self, _call: Call) -> bool:
        return False


@dataclass
class Delay(Action):
    seconds: float

    async def before(self, _call: Call) -> web.Response | None:
        await asyncio.sleep(self.seconds)
        return None


class Hold(Action):
    """The call stands still, before it is passed on or when it took effect, until it is let go."""

    def __init__(self, *, is_done_first: bool = False) -> None:
        self.is_reached = threading.Event()
        self._is_done_first = is_done_first
        self._is_over = threading.Event()

    def wait(self) -> None:
        """Until a call stands here."""
        assert self.is_reached.wait(PATIENCE_SECONDS), "no call came to be held"

    def let_go(self) -> None:
        self._is_over.set()

    async def before(self, _call: Call) -> web.Response | None:
        if not self._is_done_first:
            await self._stand()
        return None

    async def after(self, _call: Call) -> bool:
        if self._is_done_first:
            await self._stand()
        return True

    async def _stand(self) -> None:
        self.is_reached.set()
        await asyncio.to_thread(self._is_over.wait, PATIENCE_SECONDS)


@dataclass
class Rule:
    """Which calls an action is for: those that fit, but for the first `skips`, and no more than `times`."""

    fits: Callable[[Call], bool]
    action: Action
    skips: int = 0
    times: int | None = None

    def take(self, call: Call) -> bool:
        if not self.fits(call) or self.times == 0:
            return False
        if self.skips:
            self.skips -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.action.is_taken = True
        return True


class FaultProxy:
    """Listens on loopback while the block of a_fault_proxy runs."""

    def __init__(self, server: str, trust: ssl.SSLContext) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.rules: list[Rule] = []
        self.watch_faults: dict[str, WatchFault] = {}
        """By resource. A fault that changes items is asked for those of lists as well."""
        self.is_down = False
        self._server = server
        self._trust = trust
        self._loop = asyncio.new_event_loop()
        self._watches: set[asyncio.Transport] = set()

    def add(self, fits: Callable[[Call], bool], action: Action, *, skips: int = 0, times: int | None = 1) -> Action:
        """The first rule that takes a call counts."""
        self.rules.append(Rule(fits, action, skips, times))
        return action

    def clear(self) -> None:
        """No faults any more; whoever is held goes on."""
        for rule in self.rules:
            if isinstance(rule.action, Hold):
                rule.action.let_go()
        self.rules, self.watch_faults, self.is_down = [], {}, False
        self.cut_watches()

    def cut_watches(self) -> None:
        """Every watch that is open ends now, as when a load balancer hangs up."""
        self._loop.call_soon_threadsafe(lambda: [transport.close() for transport in self._watches])

    def seen(self, verb: str, resource: str, name: str = "") -> list[Call]:
        return [c for c in self.calls if (c.verb, c.resource) == (verb, resource) and c.name.startswith(name)]

    async def _serve_call(self, request: web.Request) -> web.StreamResponse:
        call = await _parse(request)
        self.calls.append(call)
        transport = request.transport
        if self.is_down or transport is None:
            return _drop(request)
        rule = next((rule for rule in self.rules if rule.take(call)), None)
        action = rule.action if rule else Action()
        if own := await action.before(call):
            return own
        timeout = aiohttp.ClientTimeout(total=None)
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        target, data = URL(self._server + request.raw_path, encoded=True), await request.read() or None
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(request.method, target, headers=headers, data=data, ssl=self._trust) as answer,
        ):
            if call.is_watch:
                return await self._pass_watch_on(request, call, answer)
            body = await answer.read()
            if not await action.after(call):
                return _drop(request)
            body = self._spoil_list(call, body) if answer.status == 200 else body
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    async def _pass_watch_on(
        self, request: web.Request, call: Call, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response, transport = web.StreamResponse(status=answer.status), request.transport
        response.content_type = answer.content_type
        await response.prepare(request)
        assert transport is not None
        self._watches.add(transport)
        try:
            async for lines in spoil(answer, lambda: self.watch_faults.get(call.resource)):
                await response.write(lines)
            await response.write_eof()
        finally:
            self._watches.discard(transport)
        return response

    def _spoil_list(self, call: Call, body: bytes) -> bytes:
        fault = self.watch_faults.get(call.resource)
        if fault is None or call.verb != "GET" or call.name:
            return body
        document = json.loads(body)
        document["items"] = [fault.change(item) for item in document.get("items", [])]
        return json.dumps(document).encode()

    async def _serve(self, started: threading.Event, stopped: asyncio.Event) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._serve_call)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stopped.wait()
        await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        started, stopped = threading.Event(), asyncio.Event()

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._serve(started, stopped))
            self._loop.close()

        thread = threading.Thread(target=serve, name="fault proxy")
        thread.start()
        assert started.wait(PATIENCE_SECONDS)
        try:
            yield self
        finally:
            self.clear()
            self._loop.call_soon_threadsafe(stopped.set)
            thread.join()


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=504)


async def _parse(request: web.Request) -> Call:
    kind, _, rest = request.path.rpartition("/namespaces/")[2].partition("/")[2].partition("/")
    name, _, sub = rest.partition("/")
    body = await request.read()
    return Call(
        verb=request.method,
        resource=f"{kind}/{sub}" if sub else kind,
        name=name,
        is_watch=request.query.get("watch") == "true",
        body=json.loads(body) if body else None,
        time=asyncio.get_running_loop().time(),
    )


@contextmanager
def a_fault_proxy(kubectl: Kubectl) -> Iterator[FaultProxy]:
    """In front of the cluster's API server, for as long as the block runs."""
    config = json.loads(kubectl.run("config", "view", "--raw", "--minify", "--output", "json"))
    cluster = config["clusters"][0]["cluster"]
    trust = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    with FaultProxy(cluster["server"], trust).running() as proxy:
        yield proxy


def lead_through(proxy: FaultProxy, kubeconfig: Path) -> None:
    """Have whoever uses this kubeconfig come by the proxy."""
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": proxy.url}
    kubeconfig.write_text(json.dumps(config))
