"""How often callers may call, and how often an address may fail to say who it is. Asked by admit and receive.

Counts live in this process. Nothing sweeps them: two maps take turns, and the older one is dropped whole.
"""

import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address

from api.auth import Caller
from api.errors import Code, ProblemError
from api.settings import ApiSettings

FAILURES = 100
FAILURE_SECONDS = 60
MAX_NAMES = 50_000
"""How many names a map holds before it is dropped early: with more addresses no count by address helps anyway."""


class SlidingCounts:
    """How much each name has done lately: this window, and as much of the last one as still overlaps."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float], max_names: int = MAX_NAMES) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._max_names = max_names
        self._window = 0
        self._counts: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def wait_seconds(self, name: str) -> float:
        """Until one more fits; 0 when it fits now."""
        passed = self._turn()
        count, last = self._counts.get(name, 0), self._last.get(name, 0)
        room = self._limit - 1 - count
        if room >= last * (1 - passed):
            return 0
        turned = 1 - max(room, 0) / last if room >= 0 else 2 - (self._limit - 1) / count
        return (turned - passed) * self._seconds

    def add(self, name: str) -> None:
        """Count one."""
        self._turn()
        if name not in self._counts and len(self._counts) >= self._max_names:
            self._last, self._counts = self._counts, {}
        self._counts[name] = self._counts.get(name, 0) + 1

    def _turn(self) -> float:
        """How much of the window has passed, from 0 to 1."""
        passed, window = math.modf(self._clock() / self._seconds)
        if window != self._window:
            self._last = self._counts if window == self._window + 1 else {}
            self._counts = {}
            self._window = int(window)
        return passed


def build_rates(settings: ApiSettings, clock: Callable[[], float] = time.monotonic) -> "Rates":
    """As the settings say, and by the process's own clock."""
    return Rates(settings.rate_requests, settings.rate_seconds, clock)


class Rates:
    """429 for those who call too often."""

    def __init__(self, requests: int, seconds: float, clock: Callable[[], float]) -> None:
        self._is_on = requests > 0
        self._requests = SlidingCounts(requests, seconds, clock)
        self._failures = SlidingCounts(FAILURES, FAILURE_SECONDS, clock)

    def count_failure(self, address: str) -> None:
        """One more request without a valid credential; ProblemError when it is too many.

        Those with a valid one are not held up: behind a proxy all may share an address.
        """
        name = network_of(address)
        wait = self._failures.wait_seconds(name)
        if wait:
            raise _too_many("Too many requests from this address had no valid credential", wait)
        self._failures.add(name)

    def count(self, caller: Caller, address: str) -> None:
        """One more request of a caller, by its tenant or else by its address; ProblemError when it is too many."""
        if not self._is_on:
            return
        name = caller.tenant if caller.is_confined else network_of(address)
        wait = self._requests.wait_seconds(name)
        if wait:
            raise _too_many("Too many requests in a short time", wait)
        self._requests.add(name)


def network_of(address: str) -> str:
    """What a client has at will: its address, or the whole /64 of one in IPv6. Asked for seats by openai.audio too."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped else f"{int(parsed) >> 64:x}::/64"


def _too_many(what: str, wait: float) -> ProblemError:
    seconds = max(1, math.ceil(wait))
    detail = f"{what}: wait as many seconds as Retry-After says, then send this again."
    return ProblemError(429, Code.RATE_LIMITED, detail).with_headers(Retry_After=str(seconds))
