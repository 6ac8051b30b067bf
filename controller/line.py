"""Who is next when not all may run at once: fair between tenants, in order within each. Owned by the cache."""

from bisect import bisect_left, insort
from collections import Counter
from datetime import datetime
from heapq import heapify, heappop, heappush

Ticket = tuple[datetime, str]
"""When the transcription was made, and its name."""


class Line:
    """The tenant with the fewest at work goes first, then the one that has waited longest."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Ticket]] = {}
        self._places: dict[str, tuple[str, Ticket | None]] = {}
        self._active: Counter[str] = Counter()
        self._first: tuple[int, list[str]] | None = None

    @property
    def active(self) -> int:
        """How many are at work."""
        return self._active.total()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._places) - self.active

    def work(self, name: str, tenant: str) -> None:
        """It is at work, and out of the line."""
        if self._places.get(name) != (tenant, None):
            self.leave(name)
            self._places[name] = (tenant, None)
            self._active[tenant] += 1
            self._first = None

    def stand(self, name: str, tenant: str, since: datetime) -> None:
        """It wants to be at work, and stands in line."""
        ticket = (since, name)
        if self._places.get(name) != (tenant, ticket):
            self.leave(name)
            self._places[name] = (tenant, ticket)
            insort(self._waiting.setdefault(tenant, []), ticket)
            self._first = None

    def leave(self, name: str) -> None:
        """It is neither at work nor in line any more."""
        tenant, ticket = self._places.pop(name, (None, None))
        if tenant is None:
            return
        self._first = None
        if ticket is None:
            self._active[tenant] -= 1
            if not self._active[tenant]:
                del self._active[tenant]
            return
        line = self._waiting[tenant]
        del line[bisect_left(line, ticket)]
        if not line:
            del self._waiting[tenant]

    def first(self, limit: int) -> list[str]:
        """Those who may start now, in order, when so many may be at work at once."""
        if self._first is None or self._first[0] != limit:
            self._first = (limit, self._pick(limit - self.active))
        return self._first[1]

    def _pick(self, free: int) -> list[str]:
        if free <= 0:
            return []
        heads = [(self._active[tenant], line[0], tenant, 0) for tenant, line in self._waiting.items()]
        heapify(heads)
        picked: list[str] = []
        while heads and len(picked) < free:
            busy, (_, name), tenant, index = heappop(heads)
            picked.append(name)
            line = self._waiting[tenant]
            if index + 1 < len(line):
                heappush(heads, (busy + 1, line[index + 1], tenant, index + 1))
        return picked
