"""The clock of a program that reads what is still coming."""

import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.support.worker_fakes import FakeClock
from worker import sandbox
from worker.errors import StorageUnavailableError
from worker.sandbox import _Feeder, _Stopwatch


class Late:
    """Each read takes its time."""

    is_whole = False

    def __init__(self, chunks: list[bytes], wait: Callable[[], None], size: int = 0) -> None:
        self._chunks, self._wait, self.size = chunks, wait, size

    def read_some(self, _at: int, _most: int) -> bytes:
        self._wait()
        if not self._chunks:
            raise StorageUnavailableError("gone")
        return self._chunks.pop(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=clock))
    return clock


def feed(source: Late) -> tuple[_Feeder, _Stopwatch, int]:
    reading, writing = os.pipe()
    feeder = _Feeder(source, writing)
    return feeder, _Stopwatch(feeder), reading


def test_time_that_a_program_waits_for_its_file_does_not_count(clock: FakeClock) -> None:
    def wait() -> None:
        clock.seconds += 100
        seen.append(watch.seconds)

    seen: list[float] = []
    feeder, watch, reading = feed(Late([b"begin", b"end", b""], wait))
    clock.seconds += 1
    feeder.run()
    clock.seconds += 1
    assert (seen, watch.seconds) == ([1, 1, 1], 2)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"beginend"


def test_time_counts_when_the_file_is_there(clock: FakeClock) -> None:
    def take_long() -> None:
        clock.seconds += 100

    feeder, watch, reading = feed(Late([b"all", b""], take_long, size=99))
    feeder.run()
    os.close(reading)
    assert watch.seconds == 200


def test_the_program_sees_an_end_when_the_file_fails(clock: FakeClock) -> None:
    feeder, watch, reading = feed(Late([b"some"], lambda: None))
    feeder.run()
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"some"
    assert watch.seconds == clock.seconds == 0


def test_nothing_is_read_on_when_the_program_has_ended(clock: FakeClock) -> None:
    assert clock.seconds == 0
    chunks = [b"some", b"more"]
    feeder, _, reading = feed(Late(chunks, lambda: None))
    os.close(reading)
    feeder.run()
    assert chunks == [b"more"]
