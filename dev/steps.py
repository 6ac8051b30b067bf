"""Saying how far a long run is, and running two lanes of it at a time. Called by the commands.

Go builds wait for the processor and installations for the network, so the two make lanes of their own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One piece of work: what a person reads, how to see that it is done, how to do it."""

    title: str
    run: Callable[[], None]
    is_done: Callable[[], bool] = lambda: False
    about_seconds: int = 5


class StoppedError(Exception):
    """A lane ended early because the other one failed."""


@dataclass
class Progress:
    """Counts the steps of one run and prints each with the time since the start."""

    total: int
    started: int = 0
    begin: float = field(default_factory=time.monotonic)
    failed: bool = False
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def perform(self, step: Step) -> None:
        """Do a step unless it is done, and say so."""
        number = self._take_number()
        if step.is_done():
            self._say(number, f"{step.title}: already there")
            return
        self._say(number, f"{step.title} ... ({in_words(step.about_seconds)})")
        start = time.monotonic()
        step.run()
        if step.about_seconds >= 20:
            self._say(number, f"{step.title}: done in {clock(time.monotonic() - start)}")

    def run_lane(self, steps: Sequence[Step]) -> None:
        """Do steps in order, until another lane has failed."""
        for step in steps:
            if self.failed:
                raise StoppedError
            try:
                self.perform(step)
            except BaseException:
                self.failed = True
                raise

    def run_lanes(self, *lanes: Sequence[Step]) -> None:
        """Do several lanes at once, and raise what made the first of them fail."""
        with ThreadPoolExecutor(len(lanes)) as pool:
            errors = [future.exception() for future in [pool.submit(self.run_lane, lane) for lane in lanes]]
        for error in sorted(filter(None, errors), key=lambda error: isinstance(error, StoppedError)):
            raise error

    def _take_number(self) -> int:
        with self._mutex:
            self.started += 1
            return self.started

    def _say(self, number: int, text: str) -> None:
        with self._mutex:
            print(f"[{number:2}/{self.total}] {clock(time.monotonic() - self.begin)} {text}", flush=True)


def clock(seconds: float) -> str:
    """Seconds as 4:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def in_words(seconds: int) -> str:
    """An expected duration as a person says it."""
    return f"about {round(seconds / 60)} min" if seconds >= 90 else f"about {seconds} s"
