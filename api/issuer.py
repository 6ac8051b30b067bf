"""The only door to the OIDC issuer: its key set, cached. Built by auth, asked by tokens.

PyJWT's own client knows neither a cap on the answer nor an old set to live on, and holds the event loop up.
"""

import asyncio
import http.client
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from jwt import PyJWK, PyJWTError
from pydantic import BaseModel

from api.doors import UnavailableError

FRESH = timedelta(minutes=5)
USABLE = timedelta(hours=1)
"""How long an old set serves while the issuer is down."""

PAUSE = timedelta(seconds=5)
"""Between tries while the issuer is down."""

KID_PAUSE = timedelta(seconds=30)
"""Between tries for the sake of keys that the set does not have."""

FETCH_SECONDS = 2.0
MAX_BYTES = 256 * 1024
CHUNK_BYTES = 16 * 1024

Keys = Mapping[tuple[str, str], PyJWK]

logger = logging.getLogger(__name__)


class KeySetError(Exception):
    """The issuer's answer is no key set that is of use here."""


class KeySet(BaseModel):
    keys: list[dict[str, Any]]


def fetch(url: str) -> bytes:
    """The body behind a URL, without following redirects; OSError, HTTPException or KeySetError when there is none."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  # Issuer checks it
    deadline = time.monotonic() + FETCH_SECONDS
    body = bytearray()
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=FETCH_SECONDS) as response:
            while chunk := response.read1(CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BYTES or time.monotonic() > deadline:
                    raise KeySetError("the key set is too large or too slow")
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return bytes(body)


def parse_key_set(body: bytes, algorithms: Sequence[str]) -> Keys:
    """The public keys by id and algorithm; KeySetError when there is none."""
    try:
        offered = KeySet.model_validate_json(body).keys
    except ValueError as error:
        raise KeySetError("the issuer's answer is no key set") from error
    keys = {
        (key.key_id, algorithm): key
        for algorithm in algorithms
        for key in (_build_key(data, algorithm) for data in offered)
        if key is not None and isinstance(key.key_id, str)
    }
    if not keys:
        raise KeySetError("the key set has no key for the accepted algorithms")
    return keys


class Issuer:
    """One fetch at a time, on a thread; those who need it wait together, and not for long."""

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        now: Callable[[], datetime],
        fetch: Callable[[str], bytes] = fetch,
    ) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError("the URL of the key set begins with https:// or http://")
        self._url = url
        self._algorithms = tuple(algorithms)
        self._now = now
        self._fetch = fetch
        self._keys: Keys = {}
        self._tried = self._fetched = datetime.min.replace(tzinfo=UTC)
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str, algorithm: str) -> PyJWK | None:
        """The key of that id; None when the issuer has no such key, UnavailableError when it cannot be asked."""
        if self._now() - self._fetched >= FRESH:
            await self._renew(PAUSE)
        if self._now() - self._fetched >= USABLE:
            raise UnavailableError("the issuer's key set cannot be had")
        if (kid, algorithm) not in self._keys:
            await self._renew(KID_PAUSE)
        key = self._keys.get((kid, algorithm))
        if key is None and self._fetched < self._tried:
            raise UnavailableError("the issuer's key set cannot be had, and the old one lacks a key")
        return key

    async def _renew(self, pause: timedelta) -> None:
        """Fetch the set, or wait for the fetch under way; nothing when the last try is younger than `pause`."""
        if self._fetching is None:
            if self._now() - self._tried < pause:
                return
            self._tried = self._now()
            self._fetching = asyncio.create_task(self._replace(self._tried))
        left = FETCH_SECONDS - (self._now() - self._tried).total_seconds()
        await asyncio.wait([self._fetching], timeout=max(left, 0))

    async def _replace(self, started: datetime) -> None:
        try:
            body = await asyncio.to_thread(self._fetch, self._url)
            self._keys = parse_key_set(body, self._algorithms)
            self._fetched = started
        except (OSError, http.client.HTTPException, KeySetError) as error:
            logger.warning("key set not fetched", extra={"error": str(error), "kind": type(error).__name__})
        finally:
            self._fetching = None


class _StayHere(urllib.request.HTTPRedirectHandler):
    """The setting names the place; an answer that names another is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _build_key(data: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    if data.get("use", "sig") != "sig" or data.get("alg", algorithm) != algorithm or "d" in data:
        return None
    try:
        return PyJWK(dict(data), algorithm)
    except PyJWTError:
        return None
