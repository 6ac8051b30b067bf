"""A sign of life while one call takes long."""

import threading

from worker.heartbeat import beating


def test_it_beats_again_and_again_while_the_block_runs() -> None:
    beats = threading.Semaphore(0)
    with beating(beats.release, 0.001):
        assert all(beats.acquire(timeout=5) for _ in range(3))


def test_it_stops_when_the_block_is_over() -> None:
    others = set(threading.enumerate())  # those of other tests may be about to stop
    with beating(lambda: None, 60):
        [heart] = [thread for thread in set(threading.enumerate()) - others if thread.name == "heartbeat"]
    heart.join(5)
    assert not heart.is_alive()
