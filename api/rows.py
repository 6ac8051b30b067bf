"""All transcriptions as the API keeps them: the map of rows, their order and their line. Pure.

Filled by store; read by routes, listing and documents.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Self

from api.row import Place, Row
from crds.transcriptionjob import State

WAITING_STATES = frozenset({State.PENDING, State.QUEUED})


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
