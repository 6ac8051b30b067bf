"""The one queue: keys that wait for a runner, each once, and one heap of deadlines. Filled from all sides."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

FIRST_BACKOFF = timedelta(milliseconds=200)
LONGEST_BACKOFF = timedelta(minutes=2)
LONGEST_SLEEP = timedelta(hours=1)
URGENT_IN_A_ROW = 3
"""After so many urgent keys comes another one, if any waits."""


class KeyQueue:
    """Keys in the order they came, urgent ones mostly first. One that is added while it is worked on comes again."""

    def __init__(self, clock: Callable[[], datetime], observe_wait: Callable[[float], None] = lambda _: None) -> None:
        self._clock = clock
        self._observe_wait = observe_wait
        self._urgent: deque[str] = deque()
        self._others: deque[str] = deque()
        self._filled = asyncio.Semaphore(0)
        self._calm = asyncio.Event()
        self._calm.set()
        self._in_a_row = 0
        self._waiting: dict[str, datetime] = {}
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._deadlines: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest_age(self) -> timedelta:
        """How long the first key has waited for a runner."""
        return self._clock() - min(self._waiting.values()) if self._waiting else timedelta()

    def add(self, key: str, *, urgent: bool = False) -> None:
        """Have the key worked on, once, soon; urgent when somebody waits for it."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = self._clock()
            (self._urgent if urgent else self._others).append(key)
            self._filled.release()
            if urgent:
                self._calm.clear()

    async def wait_for_calm(self, patience: timedelta) -> None:
        """Come back when no urgent key waits, or after that time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._calm.wait(), max(patience.total_seconds(), 0))

    def wake_at(self, key: str, when: datetime | None) -> None:
        """Add the key at that time, in place of any time set before; None means never."""
        if when is None:
            self._deadlines.pop(key, None)
            return
        if self._deadlines.get(key) == when:
            return
        self._deadlines[key] = when
        heapq.heappush(self._heap, (when, key))
        self._changed.set()

    def forget(self, key: str) -> None:
        """Nothing is left to wait for."""
        self._deadlines.pop(key, None)
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key; call done() or retry() with it afterwards."""
        await self._filled.acquire()
        key = self._take()
        if not self._urgent:
            self._calm.set()
        self._observe_wait((self._clock() - self._waiting.pop(key)).total_seconds())
        self._active.add(key)
        return key

    def _take(self) -> str:
        if self._urgent and (self._in_a_row < URGENT_IN_A_ROW or not self._others):
            self._in_a_row += 1
            return self._urgent.popleft()
        self._in_a_row = 0
        return self._others.popleft()

    def done(self, key: str) -> None:
        """The key was worked on without an error."""
        self._failures.pop(key, None)
        self._release(key)

    def retry(self, key: str) -> timedelta:
        """The work failed: add the key again after a pause that doubles with each failure in a row."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause: timedelta = min(FIRST_BACKOFF * 2 ** min(failures, 16), LONGEST_BACKOFF)
        self.wake_at(key, self._clock() + pause)
        self._again.discard(key)
        self._release(key)
        return pause

    def release_due(self) -> timedelta:
        """Add the keys whose time has come; how long the next one has."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._deadlines.get(key) == when:
                del self._deadlines[key]
                self.add(key)
        return min(self._heap[0][0] - now, LONGEST_SLEEP) if self._heap else LONGEST_SLEEP

    async def run(self) -> None:
        """Release keys as their time comes, for ever."""
        while True:
            self._changed.clear()
            pause = self.release_due()
            try:
                await asyncio.wait_for(self._changed.wait(), pause.total_seconds())
            except TimeoutError:
                continue

    def _release(self, key: str) -> None:
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
