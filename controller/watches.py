"""How the watches are: told of all that they show, bookmarks too, and asked by the liveness probe.

An API server sends a bookmark about once a minute, so silence is suspicious; but not every one does so before the first
change, and then nothing is wrong. Therefore a watch counts as stalled only when a list shows a change that it has not
brought within SETTLE_SECONDS. Fed by handlers, started by __main__.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, Protocol

from controller.errors import ControllerError
from controller.metrics import Metrics

SUSPICIOUS_SECONDS = 80.0
"""More than Kopf's inactivity timeout: it has made a new connection by itself, and that was silent too."""

SETTLE_SECONDS = 20.0
LOOK_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Lister(Protocol):
    """The part of ApiServer that is used here."""

    def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[list[dict[str, Any]]]: ...


@dataclass(frozen=True)
class Kind:
    """What one watch is about."""

    plural: str
    path: str
    selector: str


class _Watch:
    """One watch: all times by the monotonic clock."""

    def __init__(self, now: float) -> None:
        self.active_at = self.sound_at = now
        self.version = 0
        self.behind_since: float | None = None


class Watches:
    """Every watch of the controller; they count from start() on."""

    def __init__(
        self, kinds: tuple[Kind, ...], server: Lister, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kinds = kinds
        self._server = server
        self._metrics = metrics
        self._clock = clock
        self._watches: dict[str, _Watch] = {}

    def start(self) -> None:
        """They are about to be opened."""
        for kind in self._kinds:
            self._watches[kind.plural] = _Watch(self._clock())
            self._metrics.watch_idle.labels(kind.plural).set_function(partial(self.idle_seconds, kind.plural))

    def idle_seconds(self, plural: str) -> float:
        """How long the watch has shown nothing at all."""
        return self._clock() - self._watches[plural].active_at

    def see(self, plural: str, event_type: str, manifest: Mapping[str, Any]) -> None:
        """The watch has shown this: an event, a bookmark, or an object of its first list."""
        self._metrics.watch_events.labels(plural, event_type).inc()
        watch = self._mark(plural)
        if watch is not None:
            watch.version = max(watch.version, _version(manifest))

    def see_list(self, plural: str) -> None:
        """The watch has read all objects: at the start, or because it was too far behind."""
        self._metrics.relists.labels(plural).inc()
        self._mark(plural)

    def find_problem(self) -> str | None:
        """The watch that is stalled, for the liveness probe."""
        now = self._clock()
        stalled = [
            f"the watch of {plural} has shown nothing for {now - watch.active_at:.0f} s and misses a change"
            for plural, watch in self._watches.items()
            if watch.behind_since is not None and now - watch.behind_since >= SETTLE_SECONDS
        ]
        return "; ".join(stalled) or None

    async def run(self) -> NoReturn:
        """Look after silent watches for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Ask the API server about each watch that is silent for long: it is sound, or behind."""
        for kind in self._kinds:
            watch = self._watches.get(kind.plural)
            if watch is None or self._clock() - max(watch.active_at, watch.sound_at) < SUSPICIOUS_SECONDS:
                continue
            try:
                newest = await self._find_newest(kind)
            except ControllerError as error:
                logger.warning("silent watch not checked", extra={"kind": kind.plural, "error": str(error)})
                continue
            self._judge(watch, newest)

    def _judge(self, watch: _Watch, newest: int) -> None:
        if newest <= watch.version:
            watch.behind_since, watch.sound_at = None, self._clock()
        elif watch.behind_since is None:
            watch.behind_since = self._clock()

    def _mark(self, plural: str) -> _Watch | None:
        watch = self._watches.get(plural)
        if watch is not None:
            watch.active_at, watch.behind_since = self._clock(), None
        return watch

    async def _find_newest(self, kind: Kind) -> int:
        """The version of the object that was changed last. What is gone cannot be seen so; the resync finds it."""
        newest = 0
        async for page in self._server.pages(kind.path, {"labelSelector": kind.selector}):
            newest = max([newest, *map(_version, page)])
        return newest


def _version(manifest: Mapping[str, Any]) -> int:
    """Versions are numbers that rise, over all objects of a kind."""
    return int(manifest.get("metadata", {}).get("resourceVersion") or 0)
