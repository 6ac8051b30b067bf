"""The way to the API server: one request, or all pages of a list. Used by cluster and lease; Kopf keeps the watches."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from controller.errors import MissingError, QuotaError, RefusedError, StaleError, TransientError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "transcription-controller"
PAGE_SIZE = 500
TIMEOUT_SECONDS = 30
CONNECTIONS = 16
CONFLICT = 409
BUSY = {429, 503}
LONGEST_PAUSE_SECONDS = 60
Body = Mapping[str, Any]
CountCall = Callable[[str, str, int], None]
"""Told the verb, the resource and the status code of each answer."""


class ApiServer:
    """Requests as our account; what goes wrong is one of ours errors."""

    def __init__(self, api: client.ApiClient, count_call: CountCall, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._count_call = count_call
        self._may_write = may_write
        self._busy_until = 0.0

    @classmethod
    async def connect(cls, count_call: CountCall, may_write: Callable[[], bool] = lambda: True) -> Self:
        """Inside a pod by its ServiceAccount, elsewhere by the kubeconfig."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)
        configuration.connection_pool_maxsize = CONNECTIONS
        return cls(client.ApiClient(configuration), count_call, may_write)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._api.close()

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[list[dict[str, Any]]]:
        """All items of a list, page by page."""
        more = ""
        while True:
            asked = {**query, "limit": str(PAGE_SIZE)} | ({"continue": more} if more else {})
            page = await self.call("GET", f"{path}?{urlencode(asked)}")
            yield page["items"]
            more = page["metadata"].get("continue") or ""
            if not more:
                return

    async def write(self, verb: str, path: str, body: Body | None = None) -> dict[str, Any]:
        """A request that changes what the leader alone may change: TransientError when that is no longer us.

        It waits as long as the API server has asked for.
        """
        if (pause := self._busy_until - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        if not self._may_write():
            raise TransientError(f"{verb} {path}: another controller leads")
        return await self.call(verb, path, body)

    async def call(
        self, verb: str, path: str, body: Body | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """One request: a body for PATCH is a merge patch. ControllerError."""
        if verb in {"POST", "PUT", "PATCH"}:
            path = f"{path}?fieldManager={FIELD_MANAGER}"
        headers = {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = MERGE_PATCH if verb == "PATCH" else JSON
        try:
            response = await self._api.call_api(
                path,
                verb,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=timeout_seconds,
            )
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._count_call(verb, _resource(path), 0)
            raise TransientError(f"{verb} {path}: {type(error).__name__}") from error
        self._count_call(verb, _resource(path), response.status)
        if response.status in BUSY:
            self._busy_until = time.monotonic() + _parse_pause(response.headers.get("Retry-After"))
        if response.status >= 400:
            _raise_for(verb, path, response.status, data)
        return _parse(verb, path, data)


def _parse_pause(text: str | None) -> int:
    """The seconds that the API server asks its callers to stay away."""
    return min(int(text), LONGEST_PAUSE_SECONDS) if text is not None and text.isascii() and text.isdigit() else 0


def _parse(verb: str, path: str, data: bytes) -> dict[str, Any]:
    """What is no JSON object comes from something between us and the API server."""
    try:
        return dict(json.loads(data))
    except (ValueError, TypeError) as error:
        raise TransientError(f"{verb} {path}: the answer is no JSON object") from error


def _raise_for(verb: str, path: str, code: int, data: bytes) -> None:
    message = f"{verb} {path}: {code} {_parse_message(data)}"
    if code == 404:
        raise MissingError(message)
    if code == CONFLICT:
        raise StaleError(message)
    if code == 403 and "exceeded quota" in message:
        raise QuotaError(message)
    if code in {401, 408, 429} or code >= 500 or (code == 403 and "cannot " in message):
        raise TransientError(message)
    raise RefusedError(message)


def _parse_message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))[:500]
    except (ValueError, AttributeError):
        return ""


def _resource(path: str) -> str:
    """transcriptionjobs, transcriptionjobs/status, jobs, pods, events or leases."""
    kind, _, rest = path.partition("?")[0].rpartition("/namespaces/")[2].partition("/")[2].partition("/")
    return f"{kind}/status" if rest.endswith("/status") else kind
