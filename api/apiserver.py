"""The one door to Kubernetes: raw requests to the API server, their deadlines and their errors. Used by store.

Raw JSON through the client's own request function: its typed models cost about 20 times that, and its SharedInformer
fails for custom resources. pydantic's parser is faster than json.loads and keeps short strings that repeat once.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from pydantic_core import from_json

from api.doors import UnavailableError

CALL_SECONDS = 1.8
"""The rest of two seconds is for what else an operation does."""

WATCH_SECONDS = 55
"""The server ends an idle watch after this; the client gives up 10 s later."""

_OUTCOMES = {400: "refused", 404: "not_found", 409: "conflict", 410: "not_found", 422: "refused"}

Observer = Callable[[str, str, float], None]
"""Told of each call: operation, outcome, seconds."""


class GoneError(Exception):
    """The resource version is too old: list again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `operation` is what metrics call it, and `seconds` its deadline."""

    operation: str
    method: str
    path: str
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    seconds: float = CALL_SECONDS


async def connect() -> ApiClient:
    """A client by KUBECONFIG where that is set, by the pod's service account otherwise."""
    configuration = Configuration()
    path = os.environ.get("KUBECONFIG")
    if path:
        await config.load_kube_config(path, client_configuration=configuration, persist_config=False)
    else:
        config.load_incluster_config(configuration)
    return ApiClient(configuration)


def ignore(_operation: str, _outcome: str, _seconds: float) -> None:
    """Tell nobody."""


class ApiServer:
    """Every failure but an answer is an UnavailableError."""

    def __init__(self, connect: Callable[[], Awaitable[ApiClient]] = connect, observe: Observer = ignore) -> None:
        self._connect = connect
        self._observe = observe
        self._client: ApiClient | None = None

    async def start(self) -> None:
        self._client = await self._connect()

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def call(self, call: Call) -> tuple[int, dict[str, Any]]:
        """The status and the document that are answered."""
        begin = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(call.seconds):
                response = await self._send(call, aiohttp.ClientTimeout(total=call.seconds))
                async with response:
                    answer = response.status, from_json(await response.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._note(call, 0, begin)
            raise UnavailableError("the API server cannot be reached") from error
        except asyncio.CancelledError:
            self._note(call, 0, begin)
            raise
        self._note(call, answer[0], begin)
        return answer

    async def watch(self, path: str, version: int) -> AsyncGenerator[dict[str, Any]]:
        """The events after that version, until the server ends the watch; first an empty one when it has begun."""
        begin = asyncio.get_running_loop().time()
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(version),
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        call = Call("watch", "GET", path, query=query)
        patience = aiohttp.ClientTimeout(total=None, sock_connect=CALL_SECONDS, sock_read=WATCH_SECONDS + 10)
        try:
            async with await self._send(call, patience) as response:
                self._note(call, response.status, begin)
                _check_watch(response.status)
                yield {}
                async for line in response.content:
                    yield _parse_event(line)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._note(call, 0, begin)
            raise UnavailableError("the watch broke") from error

    async def _send(self, call: Call, patience: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        if self._client is None:
            raise UnavailableError("the store is not started")
        kind = "application/merge-patch+json" if call.method == "PATCH" else "application/json"
        response: aiohttp.ClientResponse = await self._client.call_api(
            call.path,
            call.method,
            query_params=list(call.query.items()),
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=call.body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=patience,
        )
        return response

    def _note(self, call: Call, status: int, begin: float) -> None:
        """Status 0 is no answer."""
        outcome = "ok" if 200 <= status < 300 else _OUTCOMES.get(status, "unavailable")
        self._observe(call.operation, outcome, asyncio.get_running_loop().time() - begin)


def _check_watch(status: int) -> None:
    if status == 410:
        raise GoneError
    if status != 200:
        raise UnavailableError(f"the API server answered {status} to a watch")


def _parse_event(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = from_json(line)
    if event["type"] == "ERROR":
        seen = event["object"]
        raise GoneError if seen.get("code") == 410 else UnavailableError(str(seen.get("message")))
    return event
