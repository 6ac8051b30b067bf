"""What the routes need of the two outside systems, Kubernetes and S3, and how either may fail.

Implemented by store and uploads; tests put fakes in their place.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from api.rows import Row
from crds.transcriptionjob import Spec


class UnavailableError(Exception):
    """Transient: an outside system does not answer, or not as it should; asking again later may help."""


class AlreadyExistsError(Exception):
    """A transcription of that name is there already."""


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

    def list(self) -> Sequence[Row]:
        """All of them, newest first, from the cache."""
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


@dataclass(frozen=True, slots=True)
class StoredObject:
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Download:
    """An object that is being read; `chunks` must be used up or closed."""

    etag: str
    size_bytes: int
    chunks: AsyncIterator[bytes]


class Uploads(Protocol):
    """The objects of one bucket. Every call may raise UnavailableError."""

    async def stop(self) -> None: ...

    async def presign_put(self, key: str, content_type: str) -> str:
        """A URL that takes one file of that type."""
        ...

    async def head(self, key: str) -> StoredObject | None:
        """None when there is no such object."""
        ...

    async def open(self, key: str) -> Download | None:
        """None when there is no such object."""
        ...

    async def put_once(self, key: str, body: bytes, digest: str) -> bool:
        """Whether the stored object has this digest afterwards; the first body of a key is kept."""
        ...
