"""What the API keeps of each TranscriptionJob: a row of about 1 KB, and the map of all rows.

Filled by store; read by routes and documents. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from crds.transcriptionjob import REQUEST_ANNOTATION, Failure, Progress, Result, State, Transcription


@dataclass(frozen=True, slots=True)
class Row:
    """One transcription, as far as answers need it."""

    namespace: str
    name: str
    uid: str
    version: int
    created: datetime
    is_deleting: bool
    request_digest: str | None
    cancel: bool
    state: State
    message: str | None
    attempt: int
    started: datetime | None
    completed: datetime | None
    progress: Progress | None
    result: Result | None
    failure: Failure | None

    @property
    def path(self) -> str:
        """How logs name it."""
        return f"{self.namespace}/{self.name}"


def parse_row(manifest: Mapping[str, Any]) -> Row:
    """A resource as the API server sends it; pydantic.ValidationError when it does not fit the schema."""
    seen = Transcription.parse(manifest)
    status = seen.status
    return Row(
        namespace=seen.namespace,
        name=seen.name,
        uid=seen.uid,
        version=int(seen.resource_version),
        created=seen.created,
        is_deleting=seen.is_deleting,
        request_digest=(manifest["metadata"].get("annotations") or {}).get(REQUEST_ANNOTATION),
        cancel=seen.spec.cancel,
        state=status.state or State.PENDING,
        message=status.message,
        attempt=status.attempt,
        started=status.start_time,
        completed=status.completion_time,
        progress=status.progress,
        result=status.result,
        failure=status.failure,
    )


class Rows:
    """All rows as of one resource version; `version` is the newest that the watch has shown."""

    def __init__(self, rows: Iterable[Row] = (), version: int = 0) -> None:
        self._rows = {row.name: row for row in rows}
        self.version = version

    def get(self, name: str) -> Row | None:
        return self._rows.get(name)

    def newest_first(self) -> list[Row]:
        return sorted(self._rows.values(), key=lambda row: (row.created, row.name), reverse=True)

    def see(self, row: Row) -> None:
        """Take a row from the watch, unless a write has answered a later one."""
        if not self._is_ahead(row.name, row.version):
            self._rows[row.name] = row
        self.version = max(self.version, row.version)

    def forget(self, name: str, version: int) -> None:
        """Drop a row that the watch says is gone, unless a write has answered its successor."""
        if not self._is_ahead(name, version):
            self._rows.pop(name, None)
        self.version = max(self.version, version)

    def advance(self, version: int) -> None:
        """Note that the watch has come so far without a change."""
        self.version = max(self.version, version)

    def put(self, row: Row) -> None:
        """Take a row that a write answered, unless the watch has already come further."""
        if row.version > self.version:
            self._rows[row.name] = row

    def _is_ahead(self, name: str, version: int) -> bool:
        row = self._rows.get(name)
        return row is not None and row.version > version

    def replaced_by(self, listed: Iterable[Row], version: int) -> Self:
        """A new map from a list; rows written after the list was taken are kept, unless versions have started anew."""
        fresh = type(self)(listed, version)
        for row in self._rows.values() if version >= self.version else ():
            fresh.put(row)
        return fresh
