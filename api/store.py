"""The TranscriptionJobs as the API keeps them: a list+watch cache of rows, and the few writes.

Implements doors.Store over apiserver; built by __main__, used by routes.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from api.apiserver import CALL_SECONDS, ApiServer, Call, GoneError, Observer, connect, ignore
from api.doors import AlreadyExistsError, ConflictError, RefusedError, UnavailableError
from api.row import Row, parse_row
from api.rows import Rows
from api.waiters import Waiters
from crds.transcriptionjob import API_VERSION, PLURAL, SETTLED_LABEL, Spec, build_transcription

PAUSE_SECONDS = 0.2
LIST_SECONDS = 30.0
PAGE_SIZE = 100
CHUNK_SIZE = 50
"""So many rows are parsed before requests get their turn: a few milliseconds."""

MAX_PAUSE_SECONDS = 5.0
RELIST_AFTER = 5
"""So many failed watches in a row, and what was listed is doubted too: etcd may have been restored."""

logger = logging.getLogger(__name__)


class KubernetesStore:
    """Implements doors.Store."""

    def __init__(
        self,
        namespace: str,
        connect: Callable[[], Awaitable[Any]] = connect,
        call_seconds: float = CALL_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        observe: Observer = ignore,
    ) -> None:
        self._server = ApiServer(connect, observe)
        self._call_seconds = call_seconds
        self._pause_seconds = pause_seconds
        self._namespace = namespace
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
        self._task: asyncio.Task[None] | None = None
        self._rows = Rows()
        self._waiters = Waiters()
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

    @property
    def rows(self) -> Rows:
        return self._rows

    async def start(self) -> None:
        await self._server.start()
        self._heard = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._follow(), name="watch")

    async def stop(self) -> None:
        self.release()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._server.stop()

    def release(self) -> None:
        """Let all who wait for a change go with an UnavailableError, and nobody wait any more."""
        self._waiters.close()

    async def wait_for_change(self, name: str, version: int) -> Row | None:
        while not self._waiters.is_closed:
            row = self._rows.get(name)
            if row is None or row.version > version:
                return row
            known = self._rows.version
            await self._waiters.wait(name)
            if self._rows.version < known:  # versions have started anew
                return self._rows.get(name)
        raise UnavailableError("this replica stops")

    async def get(self, name: str) -> Row | None:
        return self._rows.get(name) or await self.read(name)

    async def read(self, name: str) -> Row | None:
        status, answer = await self._server.call(self._call("get", "GET", name))
        return None if status == 404 else self._take(status, answer)

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        body = build_transcription(name, self._namespace, spec, annotations)
        call = Call("create", "POST", self._path, body, seconds=self._call_seconds)
        status, answer = await self._server.call(call)
        if status == 409 and answer.get("reason") == "AlreadyExists":
            raise AlreadyExistsError
        return self._take(status, answer)

    async def cancel(self, name: str) -> Row | None:
        return await self._patch(name, {"spec": {"cancel": True}})

    async def retry(self, row: Row) -> Row | None:
        return await self._ask_again(row, {"retries": row.retries + 1})

    async def redeliver(self, row: Row) -> Row | None:
        return await self._ask_again(row, {"redeliveries": row.redeliveries + 1})

    async def delete(self, row: Row) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": row.uid, "resourceVersion": str(row.version)},
            "propagationPolicy": "Background",
        }
        status, answer = await self._server.call(self._call("delete", "DELETE", row.name, body))
        if status == 409:
            raise ConflictError
        if status == 200 and "deletionTimestamp" in answer.get("metadata", {}):
            self._take(status, answer)
        elif status in (200, 202, 404):
            self._rows.delete(row)
            self._waiters.wake(row.name)
        else:
            self._take(status, answer)

    async def _ask_again(self, row: Row, spec: Mapping[str, int]) -> Row | None:
        """Without the label, the controller sees a settled one again."""
        meta = {"resourceVersion": str(row.version), "labels": {SETTLED_LABEL: None}}
        return await self._patch(row.name, {"metadata": meta, "spec": spec})

    async def _patch(self, name: str, body: Mapping[str, Any]) -> Row | None:
        status, answer = await self._server.call(self._call("patch", "PATCH", name, body))
        if status == 409:
            raise ConflictError
        return None if status == 404 else self._take(status, answer)

    def _call(self, operation: str, method: str, name: str, body: Any = None) -> Call:
        return Call(operation, method, f"{self._path}/{name}", body, seconds=self._call_seconds)

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
        self._waiters.wake(row.name)
        return row

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
            except (UnavailableError, ValueError) as error:
                failures += 1
                listed = listed and failures % RELIST_AFTER != 0
                logger.warning("watch lost", extra={"error": repr(error.__cause__ or error), "failures": failures})
            await asyncio.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        longest = min(MAX_PAUSE_SECONDS, self._pause_seconds * 2.0 ** min(failures, 6))
        return longest * random.uniform(0.5, 1)  # noqa: S311  # spreads replicas, guards nothing

    async def _list(self) -> None:
        rows: list[Row] = []
        query = {"limit": str(PAGE_SIZE)}
        while True:
            page = await self._list_page(query)
            rows += await _parse_rows(page["items"])
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                break
        self._rows = self._rows.replaced_by(rows, int(page["metadata"]["resourceVersion"]))
        self._heard = asyncio.get_running_loop().time()
        self._synced.set()
        self._waiters.wake_all()
        logger.info("listed", extra={"transcriptions": len(rows)})

    async def _list_page(self, query: Mapping[str, str]) -> dict[str, Any]:
        status, page = await self._server.call(Call("list", "GET", self._path, query=query, seconds=LIST_SECONDS))
        if status == 410:
            raise GoneError
        if status != 200:
            raise UnavailableError(f"the API server answered {status}: {page.get('message', '')}")
        return page

    async def _watch(self) -> None:
        async with contextlib.aclosing(self._server.watch(self._path, self._rows.version)) as events:
            async for event in events:
                self._heard = asyncio.get_running_loop().time()
                if event:
                    self._see(event["type"], event["object"])

    def _see(self, kind: str, seen: Mapping[str, Any]) -> None:
        meta = seen["metadata"]
        if kind == "BOOKMARK":
            self._rows.advance(int(meta["resourceVersion"]))
            return
        if kind == "DELETED" or (row := _readable(seen)) is None:
            self._rows.forget(meta["name"], int(meta["resourceVersion"]))
        else:
            self._rows.see(row)
        self._waiters.wake(meta["name"])


async def _parse_rows(items: list[dict[str, Any]]) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(items), CHUNK_SIZE):
        rows += [row for item in items[start : start + CHUNK_SIZE] if (row := _readable(item)) is not None]
        await asyncio.sleep(0)
    return rows


def _readable(manifest: Mapping[str, Any]) -> Row | None:
    """The row, or None when a newer version wrote what this one cannot read: one such must not hide the others."""
    try:
        return parse_row({"metadata": {}, **manifest})
    except ValidationError as error:
        meta = manifest["metadata"]
        path = f"{meta['namespace']}/{meta['name']}"
        logger.warning("unreadable transcription", extra={"transcription": path, "errors": error.error_count()})
        return None
