"""What the API keeps of each TranscriptionJob: a row of 1 to 2 KB, and the map of all rows.

Filled by store; read by routes, listing and documents. Pure.
"""

import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import AwareDatetime, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

from crds.transcriptionjob import REQUEST_ANNOTATION, CallbackState, Format, Stage, State

_OBSERVED = ConfigDict(alias_generator=to_camel, extra="ignore")
"""As crds.transcriptionjob.Observed; slotted dataclasses take a quarter of a model's memory and time."""

Place = tuple[datetime, str]
"""Where a row stands among all, by age."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of crds.transcriptionjob.Progress what answers need."""

    __pydantic_config__ = _OBSERVED

    attempt: int
    percent: int | None = None
    stage: Stage | None = None
    processed_seconds: float | None = None
    total_seconds: float | None = None
    eta_seconds: float | None = None
    realtime_factor: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Of crds.transcriptionjob.Result what answers need."""

    __pydantic_config__ = _OBSERVED

    key: str
    formats: tuple[Format, ...]
    language: str | None = None
    duration_seconds: float | None = None

    def key_of(self, output: Format) -> str:
        """The S3 key of one format: beside the JSON, under its own ending."""
        return f"{self.key.removesuffix('.json')}.{output}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Of crds.transcriptionjob.Failure what answers need."""

    __pydantic_config__ = _OBSERVED

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """Of crds.transcriptionjob.CallbackRecord what answers need."""

    __pydantic_config__ = _OBSERVED

    state: CallbackState
    attempts: int = 0
    last_status_code: int | None = None
    last_attempt_time: AwareDatetime | None = None
    next_attempt_time: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    __pydantic_config__ = _OBSERVED

    key: str


@dataclass(frozen=True, slots=True)
class _Spec:
    __pydantic_config__ = _OBSERVED

    source: _Source
    model: str | None = None
    tenant: str = "anonymous"
    cancel: bool = False
    retries: int = 0
    redeliveries: int = 0
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Status:
    __pydantic_config__ = _OBSERVED

    state: State | None = None
    message: str | None = None
    waiting_reason: str | None = None
    attempt: int = 0
    retries: int = 0
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    progress: Progress | None = None
    result: Result | None = None
    failure: Failure | None = None
    callback: CallbackRecord | None = None


_SPEC = TypeAdapter(_Spec)
_STATUS = TypeAdapter(_Status)


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
    tenant: str
    source_key: str
    model: str | None
    metadata: Mapping[str, str] | None
    cancel: bool
    retries: int
    redeliveries: int
    state: State
    message: str | None
    waiting_reason: str | None
    attempt: int
    started: datetime | None
    completed: datetime | None
    progress: Progress | None
    result: Result | None
    failure: Failure | None
    callback: CallbackRecord | None

    @property
    def place(self) -> Place:
        return self.created, self.name

    @property
    def path(self) -> str:
        """How logs name it."""
        return f"{self.namespace}/{self.name}"


def parse_row(manifest: Mapping[str, Any]) -> Row:
    """A resource as the API server sends it; pydantic.ValidationError when it does not fit the schema."""
    meta = manifest["metadata"]
    spec = _SPEC.validate_python(manifest["spec"])
    status = _STATUS.validate_python(manifest.get("status") or {})
    return Row(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        is_deleting="deletionTimestamp" in meta,
        request_digest=(meta.get("annotations") or {}).get(REQUEST_ANNOTATION),
        tenant=sys.intern(spec.tenant),
        source_key=spec.source.key,
        model=spec.model and sys.intern(spec.model),
        metadata=spec.metadata,
        cancel=spec.cancel,
        retries=spec.retries,
        redeliveries=spec.redeliveries,
        state=_state(status, spec),
        message=status.message,
        waiting_reason=status.waiting_reason,
        attempt=status.attempt,
        started=status.start_time,
        completed=status.completion_time,
        progress=status.progress,
        result=status.result,
        failure=status.failure,
        callback=status.callback,
    )


def _state(status: _Status, spec: _Spec) -> State:
    """A failed one that is to be retried has not ended, whether or not the controller has seen it yet."""
    if status.state is State.FAILED and spec.retries > status.retries:
        return State.PENDING
    return status.state or State.PENDING


class Rows:
    """All rows as of one resource version; `version` is the newest that the watch has shown."""

    def __init__(self, rows: Iterable[Row] = (), version: int = 0, deleted: Mapping[str, str] | None = None) -> None:
        self._deleted = dict(deleted or {})
        self._rows = {row.name: row for row in rows if self._deleted.get(row.name) != row.uid}
        self._line = sorted(row.place for row in self._rows.values())
        self._waiting = sorted(row.place for row in self._rows.values() if _is_waiting(row))
        self.live = sum(not row.state.is_final for row in self._rows.values())
        self.version = version

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, name: str) -> Row | None:
        return self._rows.get(name)

    def place_of(self, row: Row) -> int | None:
        """Its place among those that wait for a start, the oldest first, from 1; None when it does not wait."""
        index = bisect_left(self._waiting, row.place)
        return index + 1 if self._waiting[index : index + 1] == [row.place] else None

    def page(
        self, wanted: Callable[[Row], bool], before: Place | None, limit: int, since: datetime | None = None
    ) -> list[Row]:
        """The newest that are wanted, newest first; only those older than `before` and made at `since` or later."""
        found: list[Row] = []
        index = len(self._line) if before is None else bisect_left(self._line, before)
        end = 0 if since is None else bisect_left(self._line, (since, ""))
        while index > end and len(found) < limit:
            index -= 1
            row = self._rows[self._line[index][1]]
            if wanted(row):
                found.append(row)
        return found

    def see(self, row: Row) -> None:
        """Take a row from the watch, unless a write has answered a later one."""
        if not self._is_ahead(row.name, row.version):
            self._set(row)
        self.version = max(self.version, row.version)

    def forget(self, name: str, version: int) -> None:
        """Drop a row that the watch says is gone, unless a write has answered its successor."""
        self._deleted.pop(name, None)
        if not self._is_ahead(name, version):
            self._drop(name)
        self.version = max(self.version, version)

    def advance(self, version: int) -> None:
        """Note that the watch has come so far without a change."""
        self.version = max(self.version, version)

    def put(self, row: Row) -> None:
        """Take a row that a write answered, unless the watch has already come further."""
        if row.version > self.version and not self._is_ahead(row.name, row.version):
            self._set(row)

    def delete(self, row: Row) -> None:
        """Drop a row that a write has deleted; nothing that was sent before brings that resource back."""
        seen = self._rows.get(row.name)
        if seen is not None and seen.uid == row.uid:
            self._drop(row.name)
            self._deleted[row.name] = row.uid

    def replaced_by(self, listed: Iterable[Row], version: int) -> Self:
        """A new map from a list; rows written after the list was taken are kept, unless versions have started anew."""
        if version < self.version:
            return type(self)(listed, version)
        rows = list(listed)
        deleted = {row.name: row.uid for row in rows if self._deleted.get(row.name) == row.uid}
        fresh = type(self)(rows, version, deleted)
        for row in self._rows.values():
            fresh.put(row)
        return fresh

    def _is_ahead(self, name: str, version: int) -> bool:
        return name in self._rows and self._rows[name].version > version

    def _set(self, row: Row) -> None:
        if self._deleted.get(row.name) == row.uid:
            return
        self._drop(row.name)
        self._rows[row.name] = row
        insort(self._line, row.place)
        if _is_waiting(row):
            insort(self._waiting, row.place)
        self.live += not row.state.is_final

    def _drop(self, name: str) -> None:
        if (row := self._rows.pop(name, None)) is None:
            return
        del self._line[bisect_left(self._line, row.place)]
        if _is_waiting(row):
            del self._waiting[bisect_left(self._waiting, row.place)]
        self.live -= not row.state.is_final


def _is_waiting(row: Row) -> bool:
    return row.state in (State.PENDING, State.QUEUED) and not row.is_deleting
