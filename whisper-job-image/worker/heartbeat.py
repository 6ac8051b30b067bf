"""A sign of life while one call takes long, such as a download or the loading of a model. Used by the pipeline."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beating(beat: Callable[[], None], interval_seconds: float) -> Iterator[None]:
    """Call it once an interval, from a thread of its own, while the block runs."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(interval_seconds):
            beat()

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
