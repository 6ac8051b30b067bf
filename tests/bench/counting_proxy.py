"""A proxy between an operator and the API server that counts what the operator asks for. Used by controller_life.

It passes everything on as it is, watches line by line among it; the account's token goes through.
"""

import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "accept-encoding"}
MAX_BODY = 16 << 20


class CountingProxy:
    """`calls` has how many requests of each kind came: (method, resource)."""

    def __init__(self, server: str, session: aiohttp.ClientSession) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.url = ""
        self._server = server
        self._session = session

    def writes(self, *, events: bool) -> int:
        """How many writes came: those of Events, or all others."""
        return sum(
            count
            for (method, resource), count in self.calls.items()
            if method in WRITES and (resource.partition("/")[0] == "events") is events
        )

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        self.calls[request.method, name_resource(request.path)] += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        async with self._session.request(
            request.method, self._server + request.raw_path, headers=headers, data=await request.read() or None
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def name_resource(path: str) -> str:
    """`jobs`, `transcriptionjobs/status`; what is not in a namespace goes by its whole path."""
    _, found, rest = path.partition("/namespaces/")
    parts = rest.split("/")[1:]
    if not found or not parts:
        return path
    return "/".join([parts[0], *parts[2:]])


@asynccontextmanager
async def counting(server: str, authority: str) -> AsyncIterator[CountingProxy]:
    """On a port of this machine, in front of that server."""
    trusted = ssl.create_default_context(cadata=authority)
    connector = aiohttp.TCPConnector(ssl=trusted, limit=0)
    endless = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=endless, auto_decompress=False) as session:
        proxy = CountingProxy(server, session)
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", proxy.pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()
