"""Fake doors, and builders of what goes through them. Used by the API's unit tests."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from fastapi import FastAPI

from api.doors import AlreadyExistsError, Download, StoredObject, UnavailableError
from api.rows import Row, Rows, parse_row
from api.settings import ApiSettings
from crds.transcriptionjob import Spec, build_transcription

NOW = datetime(2025, 9, 11, 3, 45, 48, tzinfo=UTC)
KEY = "videos/anonymous/20250911_034548_3b3673a3_sample.mp4"
VIDEO_URL = f"https://media.s3.amazonaws.com/{KEY}"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def some_settings(**changes: Any) -> ApiSettings:
    return ApiSettings(**({"s3_bucket": "media", "s3_endpoint": "http://s3.internal:9000"} | changes))


def a_manifest(name: str = "123456", version: int = 1, status: Mapping[str, Any] | None = None) -> dict[str, Any]:
    manifest = build_transcription(
        name, "transcription", Spec.model_validate({"source": {"bucket": "media", "key": KEY}})
    )
    manifest["metadata"] |= {"uid": f"uid-of-{name}", "resourceVersion": str(version)}
    manifest["metadata"]["creationTimestamp"] = (NOW + timedelta(seconds=version)).isoformat()
    return manifest | {"status": dict(status or {})}


def a_row(name: str = "123456", version: int = 1, status: Mapping[str, Any] | None = None) -> Row:
    return parse_row(a_manifest(name, version, status))


def a_result(key: str = "transcripts/transcription/123456/uid/1/transcript.json") -> dict[str, Any]:
    return {"key": key, "sha256": "0" * 64, "bytes": 2, "formats": ["json"]}


class FakeStore:
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
        self.hidden: set[str] = set()
        self.cached: dict[str, Row] = {}
        self.version = 100

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def list(self) -> list[Row]:
        return self.rows.newest_first()

    async def get(self, name: str) -> Row | None:
        return self.cached.get(name) or await self.read(name)

    async def read(self, name: str) -> Row | None:
        """Names in `hidden` are found from the second time on, as those that are made in between."""
        if self.is_down:
            raise UnavailableError
        if name in self.hidden:
            self.hidden.remove(name)
            return None
        return self.rows.get(name)

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        self.tries += 1
        if self.is_down or self.is_refusing_connections:
            raise UnavailableError
        if self.rows.get(name):
            raise AlreadyExistsError
        self.version += 1
        manifest = a_manifest(name, self.version)
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
        row = self.rows.get(name)
        if row is not None:
            self.rows.see(replace(row, cancel=True))
        return self.rows.get(name)


class FakeUploads:
    def __init__(self, **objects: bytes) -> None:
        self.objects: dict[str, bytes] = {KEY: b"video", **objects}
        self.digests: dict[str, str] = {}
        self.signed: list[tuple[str, str]] = []
        self.is_down = False

    async def stop(self) -> None: ...

    async def presign_put(self, key: str, content_type: str) -> str:
        self.signed.append((key, content_type))
        return f"http://127.0.0.1:9000/media/{key}?X-Amz-Signature=0"

    async def head(self, key: str) -> StoredObject | None:
        if self.is_down:
            raise UnavailableError
        body = self.objects.get(key)
        return None if body is None else StoredObject(f'"{hashlib.md5(body).hexdigest()}"', len(body))

    async def open(self, key: str) -> Download | None:
        stored = await self.head(key)
        return stored and Download(stored.etag, stored.size_bytes, self._chunks(self.objects[key]))

    async def put_once(self, key: str, body: bytes, digest: str) -> bool:
        if self.is_down:
            raise UnavailableError
        self.objects.setdefault(key, body)
        return self.digests.setdefault(key, digest) == digest

    async def _chunks(self, body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]


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
