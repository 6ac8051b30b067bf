"""What the routes need of the two outside systems, Kubernetes and S3, and how either may fail.

Implemented by store and uploads; tests put fakes in their place.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from api.row import Row
from api.rows import Rows
from crds.transcriptionjob import Spec


class UnavailableError(Exception):
    """Transient: an outside system does not answer, or not as it should; asking again later may help."""


class AlreadyExistsError(Exception):
    """A transcription of that name is there already."""


class ConflictError(Exception):
    """The transcription has changed since it was read: read it again and decide anew."""


class RefusedError(Exception):
    """The API server does not accept the resource as it is."""


class Store(Protocol):
    """The TranscriptionJobs of one namespace. Every call may raise UnavailableError."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    @property
    def is_synced(self) -> bool:
        """Whether all have been listed once."""
        ...

    @property
    def is_following(self) -> bool:
        """Whether the cache is still kept up, or at least tried to be."""
        ...

    @property
    def age_seconds(self) -> float:
        """Since the API server last said anything."""
        ...

    @property
    def rows(self) -> Rows:
        """The cache: all of them, as far as the watch has come."""
        ...

    async def wait_for_change(self, name: str, version: int) -> Row | None:
        """The row as soon as the cache holds a newer version than this; None as soon as it holds none."""
        ...

    async def get(self, name: str) -> Row | None:
        """From the cache; a miss is looked up once."""
        ...

    async def read(self, name: str) -> Row | None:
        """From the API server, past the cache."""
        ...

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        """AlreadyExistsError or RefusedError when it cannot be made."""
        ...

    async def cancel(self, name: str) -> Row | None:
        """Set spec.cancel; None when there is no such resource."""
        ...

    async def retry(self, row: Row) -> Row | None:
        """Raise spec.retries of this very version, and put it back into the controller's watch; else ConflictError.

        None when there is no such resource.
        """
        ...

    async def redeliver(self, row: Row) -> Row | None:
        """Raise spec.redeliveries, as retry does."""
        ...

    async def delete(self, row: Row) -> None:
        """Delete this very version, with its Job and pods; ConflictError when it has changed. Gone is as good."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Download:
    """An object, or a range of it, that is being read; `chunks` must be used up or closed.

    `size_bytes` is the length of what is read; `content_range` is S3's header when that is a range.
    """

    etag: str
    size_bytes: int
    chunks: AsyncGenerator[bytes]
    content_range: str | None = None


class RangeError(Exception):
    """The object has no such range."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the object has {size_bytes} bytes")
        self.size_bytes = size_bytes


class Uploads(Protocol):
    """The objects of one bucket. Every call may raise UnavailableError."""

    async def stop(self) -> None: ...

    async def look(self) -> None:
        """Whether the bucket can be used; once it could, nothing is asked any more."""
        ...

    async def presign_put(self, key: str, content_type: str) -> str:
        """A URL that takes one file of that type."""
        ...

    async def head(self, key: str) -> StoredObject | None:
        """None when there is no such object."""
        ...

    async def open(self, key: str, byte_range: str | None = None) -> Download | None:
        """None when there is no such object. `byte_range` is one range as HTTP writes it; RangeError outside."""
        ...

    async def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Store an upload that came through the API; the file is read from its beginning and left open."""
        ...

    async def delete_all(self, prefix: str) -> None:
        """Delete every object below a prefix, which ends in a slash."""
        ...

    async def put_once(self, key: str, body: bytes, digest: str) -> bool:
        """Whether the stored object has this digest afterwards; the first body of a key is kept."""
        ...
