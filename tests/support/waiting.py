"""Waiting for what has no watch, such as an answer over HTTP."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], timeout_seconds: float, what: str, every_seconds: float = 0.2) -> T:
    """The first true answer of `look`; fails with what was waited for and the last answer when the time is up."""
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while not (answer := look()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {what}; last seen: {answer!r}"
        pause.wait(every_seconds)
    return answer
