"""The benches' door to the API server: raw requests as an administrator, by KUBECONFIG. Used by what makes things.

It is no part of what is measured: it makes the work and looks on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from api.apiserver import connect
from tests.bench.harness import BenchError

Document = dict[str, Any]
GONE_SECONDS = 900
OK = (200, 201)


class Door:
    """Every answer that is not accepted is a BenchError."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def send(
        self, method: str, path: str, body: Any = None, accepted: Iterable[int] = OK
    ) -> tuple[int, Document]:
        async with await self._call(method, path, body) as response:
            text = await response.read()
            if response.status not in accepted:
                raise BenchError(f"{method} {path}: {response.status} {text[:1000]!r}")
            return response.status, json.loads(text)

    async def get(self, path: str) -> Document:
        return (await self.send("GET", path))[1]

    async def list(self, path: str, page: int = 1_000) -> list[Document]:
        """All objects, page by page."""
        found: list[Document] = []
        more = ""
        while True:
            mark = "&" if "?" in path else "?"
            answer = await self.get(f"{path}{mark}limit={page}&continue={more}")
            found += answer["items"]
            more = answer["metadata"].get("continue") or ""
            if not more:
                return found

    async def watch(self, path: str, version: str, seconds: int = 3_600) -> AsyncIterator[Document]:
        """Every event after that version, until the server ends the watch."""
        query = f"watch=true&resourceVersion={version}&timeoutSeconds={seconds}"
        mark = "&" if "?" in path else "?"
        endless = aiohttp.ClientTimeout(total=None)
        async with await self._call("GET", f"{path}{mark}{query}", None, _request_timeout=endless) as response:
            if response.status != 200:
                raise BenchError(f"watch {path}: {response.status} {await response.text()}")
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise BenchError(f"watch {path}: {event['object']}")
                yield event

    async def ensure_namespace(self, name: str) -> None:
        """It is there; one of that name that is being deleted is waited for."""
        await self.wait_until_gone(name)
        await self.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, accepted=(201, 409))

    async def drop_namespace(self, name: str) -> None:
        """The cluster goes on deleting for some minutes; nobody waits for it but the next run."""
        await self.send("DELETE", f"/api/v1/namespaces/{name}", accepted=(200, 202, 404, 409))

    async def wait_until_gone(self, name: str) -> None:
        """When an earlier run's namespace is being deleted."""
        async with asyncio.timeout(GONE_SECONDS):
            while await self._is_going(name):  # noqa: ASYNC110  # no task of ours ends it
                await asyncio.sleep(1)

    async def _is_going(self, name: str) -> bool:
        status, found = await self.send("GET", f"/api/v1/namespaces/{name}", accepted=(200, 404))
        return status == 200 and "deletionTimestamp" in found["metadata"]

    async def _call(self, method: str, path: str, body: Any, **more: Any) -> aiohttp.ClientResponse:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        response: aiohttp.ClientResponse = await self._client.call_api(
            path,
            method,
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            **more,
        )
        return response


@asynccontextmanager
async def opened() -> AsyncIterator[Door]:
    client = await connect()
    try:
        yield Door(client)
    finally:
        await client.close()
