"""The only Kubernetes door: a list+watch cache of rows, and the few writes. Built by __main__, used by routes.

Raw JSON through the client's own request function: its typed models cost about 20 times json.loads,
and its SharedInformer fails for custom resources.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from pydantic import ValidationError

from api.doors import AlreadyExistsError, RefusedError, UnavailableError
from api.rows import Row, Rows, parse_row
from crds.transcriptionjob import API_VERSION, PLURAL, Spec, build_transcription

CALL_SECONDS = 2.0
CREATE_SECONDS = 5.0
PAUSE_SECONDS = 0.2
LIST_SECONDS = 30.0
PAGE_SIZE = 500
WATCH_SECONDS = 55
"""The server ends an idle watch after this; the client gives up 10 s later."""

MAX_PAUSE_SECONDS = 5.0
RELIST_AFTER = 5
"""So many failed watches in a row, and what was listed is doubted too: etcd may have been restored."""

logger = logging.getLogger(__name__)


class GoneError(Exception):
    """The watch's resource version is too old: list again."""


async def connect() -> ApiClient:
    """A client by KUBECONFIG where that is set, by the pod's service account otherwise."""
    configuration = Configuration()
    path = os.environ.get("KUBECONFIG")
    if path:
        await config.load_kube_config(path, client_configuration=configuration, persist_config=False)
    else:
        config.load_incluster_config(configuration)
    return ApiClient(configuration)


class KubernetesStore:
    """Implements doors.Store."""

    def __init__(
        self,
        namespace: str,
        connect: Callable[[], Awaitable[ApiClient]] = connect,
        call_seconds: float = CALL_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._call_seconds = call_seconds
        self._create_seconds = call_seconds * CREATE_SECONDS / CALL_SECONDS
        self._pause_seconds = pause_seconds
        self._namespace = namespace
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
        self._connect = connect
        self._client: ApiClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._rows = Rows()
        self._synced = asyncio.Event()
        self._heard = 0.0

    @property
    def is_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def is_following(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def age_seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._heard

    async def start(self) -> None:
        self._client = await self._connect()
        self._heard = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._follow(), name="watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            await self._client.close()

    def list(self) -> list[Row]:
        return self._rows.newest_first()

    async def get(self, name: str) -> Row | None:
        return self._rows.get(name) or await self.read(name)

    async def read(self, name: str) -> Row | None:
        status, answer = await self._call("GET", f"{self._path}/{name}")
        return None if status == 404 else self._take(status, answer)

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        body = build_transcription(name, self._namespace, spec, annotations)
        status, answer = await self._call("POST", self._path, body, seconds=self._create_seconds)
        if status == 409 and answer.get("reason") == "AlreadyExists":
            raise AlreadyExistsError
        return self._take(status, answer)

    async def cancel(self, name: str) -> Row | None:
        status, answer = await self._call("PATCH", f"{self._path}/{name}", {"spec": {"cancel": True}})
        return None if status == 404 else self._take(status, answer)

    def _take(self, status: int, answer: dict[str, Any]) -> Row:
        if status in (400, 422):
            raise RefusedError(answer.get("message", ""))
        if status not in (200, 201):
            raise UnavailableError(f"the API server answered {status}: {answer.get('message', '')}")
        try:
            row = parse_row(answer)
        except ValidationError as error:
            raise UnavailableError("the transcription cannot be read by this version") from error
        self._rows.put(row)
        return row

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> tuple[int, dict[str, Any]]:
        seconds = seconds or self._call_seconds
        try:
            async with asyncio.timeout(seconds):
                response = await self._send(method, path, body, query or {}, aiohttp.ClientTimeout(total=seconds))
                async with response:
                    return response.status, json.loads(await response.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError) as error:
            raise UnavailableError("the API server cannot be reached") from error

    async def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str], patience: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._client is None:
            raise UnavailableError("the store is not started")
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        response: aiohttp.ClientResponse = await self._client.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=patience,
        )
        return response

    async def _follow(self) -> None:
        """List, then watch; again from where it ended, or from the start when that is too old."""
        failures = 0
        listed = False
        while True:
            try:
                if not listed:
                    await self._list()
                    listed = True
                await self._watch()
                failures = 0
            except GoneError:
                listed = False
            except (UnavailableError, aiohttp.ClientError, OSError, ValueError) as error:
                failures += 1
                listed = listed and failures % RELIST_AFTER != 0
                logger.warning("watch lost", extra={"error": repr(error), "failures": failures})
            await asyncio.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        longest = min(MAX_PAUSE_SECONDS, self._pause_seconds * 2.0 ** min(failures, 6))
        return longest * random.uniform(0.5, 1)  # noqa: S311  # spreads replicas, guards nothing

    async def _list(self) -> None:
        rows: list[Row] = []
        query = {"limit": str(PAGE_SIZE)}
        while True:
            status, page = await self._call("GET", self._path, query=query, seconds=LIST_SECONDS)
            if status == 410:
                raise GoneError
            if status != 200:
                raise UnavailableError(f"the API server answered {status}: {page.get('message', '')}")
            rows += [row for item in page["items"] if (row := _readable(item)) is not None]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                break
        self._rows = self._rows.replaced_by(rows, int(page["metadata"]["resourceVersion"]))
        self._heard = asyncio.get_running_loop().time()
        self._synced.set()
        logger.info("listed", extra={"transcriptions": len(rows)})

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._rows.version),
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        patience = aiohttp.ClientTimeout(total=None, sock_connect=CALL_SECONDS, sock_read=WATCH_SECONDS + 10)
        async with await self._send("GET", self._path, None, query, patience) as response:
            if response.status == 410:
                raise GoneError
            if response.status != 200:
                raise UnavailableError(f"the API server answered {response.status} to a watch")
            self._heard = asyncio.get_running_loop().time()
            async for line in response.content:
                self._see(json.loads(line))

    def _see(self, event: Mapping[str, Any]) -> None:
        kind, seen = event["type"], event["object"]
        if kind == "ERROR":
            raise GoneError if seen.get("code") == 410 else UnavailableError(str(seen.get("message")))
        self._heard = asyncio.get_running_loop().time()
        meta = seen["metadata"]
        if kind == "BOOKMARK":
            self._rows.advance(int(meta["resourceVersion"]))
        elif kind == "DELETED" or (row := _readable(seen)) is None:
            self._rows.forget(meta["name"], int(meta["resourceVersion"]))
        else:
            self._rows.see(row)


def _readable(manifest: Mapping[str, Any]) -> Row | None:
    """The row, or None when a newer version wrote what this one cannot read: one such must not hide the others."""
    try:
        return parse_row({"metadata": {}, **manifest})
    except ValidationError as error:
        meta = manifest["metadata"]
        path = f"{meta['namespace']}/{meta['name']}"
        logger.warning("unreadable transcription", extra={"transcription": path, "errors": error.error_count()})
        return None
