"""Fake doors, and builders of what goes through them. Used by the API's unit tests."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import httpx2
from fastapi import FastAPI
from starlette.datastructures import Headers

from api import auth
from api.doors import AlreadyExistsError, ConflictError, Download, RangeError, StoredObject, UnavailableError
from api.row import Row, parse_row
from api.rows import Rows
from api.settings import ApiSettings
from api.waiters import Waiters
from crds.transcriptionjob import Spec, State, build_transcription

NOW = datetime(2025, 9, 11, 3, 45, 48, tzinfo=UTC)
KEY = "videos/anonymous/20250911_034548_3b3673a3_sample.mp4"
VIDEO_URL = f"https://media.s3.amazonaws.com/{KEY}"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def some_settings(**changes: Any) -> ApiSettings:
    return ApiSettings(**({"s3_bucket": "media", "s3_endpoint": "http://s3.internal:9000"} | changes))


def a_manifest(
    name: str = "123456", version: int = 1, status: Mapping[str, Any] | None = None, spec: Spec | None = None
) -> dict[str, Any]:
    wanted = spec or Spec.model_validate({"source": {"bucket": "media", "key": KEY}})
    manifest = build_transcription(name, "transcription", wanted)
    manifest["metadata"] |= {"uid": f"uid-of-{name}", "resourceVersion": str(version)}
    manifest["metadata"]["creationTimestamp"] = (NOW + timedelta(seconds=version)).isoformat()
    return manifest | {"status": dict(status or {})}


def a_row(name: str = "123456", version: int = 1, status: Mapping[str, Any] | None = None) -> Row:
    return parse_row(a_manifest(name, version, status))


def a_result(key: str = "transcripts/transcription/123456/uid/1/transcript.json") -> dict[str, Any]:
    return {"key": key, "sha256": "0" * 64, "bytes": 2, "formats": ["json"]}


class FakeStore:
    """`asked` notes each call that would go to the API server; rows that are `unseen` are there, not in the cache."""

    def __init__(self, *rows: Row) -> None:
        self.rows = Rows(rows)
        self.specs: dict[str, Spec] = {}
        self.is_synced = True
        self.is_following = True
        self.age_seconds = 1.5
        self.is_down = False
        self.is_refusing_connections = False
        self.unanswered = 0
        self.tries = 0
        self.asked: list[tuple[str, str]] = []
        self.hidden: set[str] = set()
        self.unseen: dict[str, Row] = {}
        self.cached: dict[str, Row] = {}
        self.version = 100
        self.conflicts = 0
        self.waiters = Waiters()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def list(self) -> list[Row]:
        """All, newest first."""
        return self.rows.page(lambda _: True, None, len(self.rows))

    def tell(self, row: Row) -> None:
        """What the watch shows: everybody who waits for that name looks."""
        self.rows.see(row)
        self.waiters.wake(row.name)

    def forget(self, name: str) -> None:
        """What the watch shows when it is gone."""
        self.rows.forget(name, self._next_version())
        self.waiters.wake(name)

    def release(self) -> None:
        self.waiters.close()

    async def wait_for_change(self, name: str, version: int) -> Row | None:
        while not self.waiters.is_closed:
            row = self.rows.get(name)
            if row is None or row.version > version:
                return row
            await self.waiters.wait(name)
        raise UnavailableError

    async def get(self, name: str) -> Row | None:
        return self.cached.get(name) or self.rows.get(name) or await self.read(name)

    async def read(self, name: str) -> Row | None:
        """Names in `hidden` are found from the second time on, as those that are made in between."""
        self.asked.append(("read", name))
        if self.is_down:
            raise UnavailableError
        if name in self.hidden:
            self.hidden.remove(name)
            return None
        return self.rows.get(name) or self.unseen.get(name)

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        self.tries += 1
        self.asked.append(("create", name))
        if self.is_down or self.is_refusing_connections:
            raise UnavailableError
        if self.rows.get(name) or name in self.unseen:
            raise AlreadyExistsError
        self.version += 1
        manifest = a_manifest(name, self.version, spec=spec)
        manifest["metadata"]["annotations"] = dict(annotations)
        self.specs[name] = spec
        self.rows.put(parse_row(manifest))
        if self.unanswered:
            self.unanswered -= 1
            raise UnavailableError
        row = self.rows.get(name)
        assert row is not None
        return row

    async def cancel(self, name: str) -> Row | None:
        self.asked.append(("patch", name))
        row = self.rows.get(name)
        if row is not None:
            self.tell(replace(row, cancel=True, version=self._next_version()))
        return self.rows.get(name)

    async def retry(self, row: Row) -> Row | None:
        again = replace(row, retries=row.retries + 1, version=self._next_version())
        if row.state is State.FAILED:
            again = replace(again, state=State.PENDING, message=None, progress=None, completed=None, failure=None)
        return self._write(row, again)

    async def redeliver(self, row: Row) -> Row | None:
        return self._write(row, replace(row, redeliveries=row.redeliveries + 1, version=self._next_version()))

    async def delete(self, row: Row) -> None:
        if self._write(row, row) is not None:
            self.rows.delete(row)
            self.waiters.wake(row.name)

    def _write(self, known: Row, wanted: Row) -> Row | None:
        """`conflicts` writes fail as if somebody else were faster."""
        self.asked.append(("write", known.name))
        if self.is_down or self.is_refusing_connections:
            raise UnavailableError
        seen = self.rows.get(known.name)
        if self.conflicts or (seen and seen.version != known.version):
            self.conflicts = max(0, self.conflicts - 1)
            raise ConflictError
        if seen is not None:
            self.tell(wanted)
        return self.rows.get(known.name)

    def _next_version(self) -> int:
        self.version = max(self.version, self.rows.version) + 1
        return self.version


class TenantGate:
    """Everybody is the tenant that X-API-Key names."""

    async def admit(self, headers: Headers) -> auth.Caller:
        return auth.Caller(headers["x-api-key"], is_confined=True)


class FakeUploads:
    def __init__(self, **objects: bytes) -> None:
        self.objects: dict[str, bytes] = {KEY: b"video", **objects}
        self.digests: dict[str, str] = {}
        self.types: dict[str, str] = {}
        self.signed: list[tuple[str, str]] = []
        self.is_down = False
        self.breaks_after: int | None = None
        self.opened = 0
        self.reading = 0

    async def stop(self) -> None: ...

    async def look(self) -> None:
        if self.is_down:
            raise UnavailableError("S3 cannot be reached")

    async def presign_put(self, key: str, content_type: str) -> str:
        self.signed.append((key, content_type))
        return f"http://127.0.0.1:9000/media/{key}?X-Amz-Signature=0"

    async def head(self, key: str) -> StoredObject | None:
        if self.is_down:
            raise UnavailableError
        body = self.objects.get(key)
        return None if body is None else StoredObject(f'"{hashlib.md5(body).hexdigest()}"', len(body))

    async def open(self, key: str, byte_range: str | None = None) -> Download | None:
        self.opened += 1
        stored = await self.head(key)
        if stored is None:
            return None
        body = self.objects[key]
        if byte_range is None:
            return Download(stored.etag, len(body), self._chunks(body))
        part = slice_of(byte_range, len(body))
        read = f"bytes {part.start}-{part.stop - 1}/{len(body)}"
        return Download(stored.etag, part.stop - part.start, self._chunks(body[part]), read)

    async def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        file.seek(0)
        body = file.read()
        if self.is_down:
            raise UnavailableError
        self.objects[key] = body
        self.types[key] = content_type
        return StoredObject(f'"{hashlib.md5(body).hexdigest()}"', len(body))

    async def delete_all(self, prefix: str) -> None:
        assert prefix.endswith("/")
        if self.is_down:
            raise UnavailableError
        self.objects = {key: body for key, body in self.objects.items() if not key.startswith(prefix)}

    async def put_once(self, key: str, body: bytes, digest: str) -> bool:
        if self.is_down:
            raise UnavailableError
        self.objects.setdefault(key, body)
        return self.digests.setdefault(key, digest) == digest

    async def _chunks(self, body: bytes) -> AsyncGenerator[bytes]:
        """Breaks off after `breaks_after` chunks; `reading` counts those who have not closed."""
        self.reading += 1
        try:
            for number, start in enumerate(range(0, len(body), 7)):
                if number == self.breaks_after:
                    raise UnavailableError
                yield body[start : start + 7]
        finally:
            self.reading -= 1


def slice_of(byte_range: str, size_bytes: int) -> slice:
    """What S3 makes of one well-formed range."""
    first, _, last = byte_range.removeprefix("bytes=").partition("-")
    if first:
        part = slice(int(first), min(int(last or size_bytes), size_bytes - 1) + 1)
    else:
        part = slice(max(0, size_bytes - int(last)), size_bytes)
    if part.start >= size_bytes:
        raise RangeError(size_bytes)
    return part


class Caller:
    """Calls an app in this thread: three times as fast as TestClient, which goes through a second one."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://api")

    def request(self, method: str, path: str, **parts: Any) -> httpx2.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **parts))

    def get(self, path: str, **parts: Any) -> httpx2.Response:
        return self.request("GET", path, **parts)

    def post(self, path: str, **parts: Any) -> httpx2.Response:
        return self.request("POST", path, **parts)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
