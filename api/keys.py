"""API keys from a mounted file, read again when it changes. Used by auth.

Lines are `<tenant> sha256:<64 hex digits>`; blank lines and # comments are fine, and so are several keys of a tenant.
"""

import hashlib
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from api.tenants import is_plain_tenant

LOOK_EVERY = timedelta(seconds=1)

_LINE = re.compile(r"(\S+)\s+sha256:([0-9A-Fa-f]{64})")

logger = logging.getLogger(__name__)

Mark = tuple[int, int, int]


class KeyFileError(Exception):
    """The file is missing or a line of it is wrong; the text names the line and not what stands there."""


def parse_keys(text: str) -> dict[bytes, str]:
    """The tenant of each key's digest; KeyFileError names the first line that is wrong."""
    keys: dict[bytes, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise KeyFileError(f"line {number} of the keys file is not `<tenant> sha256:<64 hex digits>`")
        tenant, digest = found[1], bytes.fromhex(found[2])
        if not is_plain_tenant(tenant):
            raise KeyFileError(
                f"line {number} of the keys file names an impossible tenant: take at most 63 of A-Z a-z 0-9 . _ -,"
                " begin and end with a letter or digit, and avoid `anonymous` and an end of - and 16 hex digits"
            )
        if keys.setdefault(digest, tenant) != tenant:
            raise KeyFileError(f"line {number} of the keys file gives one key to two tenants")
    return keys


class KeyFile:
    """The keys of the file as it last was in order; one that is broken from the start is a KeyFileError."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._looked = now()
        self._was_good = self._looked
        self._fault: str | None = None
        self._mark, self._keys = self._read(None)

    def find(self, key: str) -> str | None:
        """The tenant that a key belongs to; None for a key that is not in the file."""
        self._look_when_due()
        return self._keys.get(hashlib.sha256(key.encode("latin-1", "replace")).digest())

    def age_seconds(self) -> float:
        """Since the file was last seen in order; it grows while the file is broken or gone, and the old keys count."""
        self._look_when_due()
        return max(0.0, (self._now() - self._was_good).total_seconds())

    def _look_when_due(self) -> None:
        if abs(self._now() - self._looked) >= LOOK_EVERY:
            self._looked = self._now()
            self._look_again()

    def _look_again(self) -> None:
        try:
            self._mark, self._keys = self._read(self._mark)
            self._was_good, self._fault = self._looked, None
        except KeyFileError as error:
            if str(error) != self._fault:
                logger.exception("keys file unusable, the last good keys stay")
            self._fault = str(error)

    def _read(self, known: Mark | None) -> tuple[Mark, dict[bytes, str]]:
        """A mark is taken before its content, so that a change in between is seen the next time."""
        try:
            stat = self._path.stat()
            mark = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if mark == known:
                return mark, self._keys
            keys = parse_keys(self._path.read_text("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise KeyFileError("the keys file is not UTF-8") from error
        except OSError as error:
            raise KeyFileError(f"the keys file cannot be read: {error.strerror}") from error
        logger.info("keys read", extra={"keys": len(keys), "tenants": len(set(keys.values()))})
        return mark, keys
