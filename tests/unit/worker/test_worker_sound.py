"""A file that is read while it is written: who waits for what, and who hears what went wrong."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worker.errors import StorageUnavailableError, TooLongError, UnreadableMediaError
from worker.growing import Growing
from worker.sound import BYTES_PER_SECOND, Sound


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "media", 100)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def test_what_is_there_is_read_while_the_rest_is_still_to_come(growing: Growing) -> None:
    growing.append(b"begin")
    assert growing.read(1, 4) == b"egin"
    assert not growing.is_whole


def test_a_reader_waits_for_what_it_wants(growing: Growing, aside: ThreadPoolExecutor) -> None:
    read = aside.submit(growing.read, 0, 8)
    growing.append(b"half")
    assert not read.done()
    growing.append(b" and half")
    assert read.result() == b"half and"


def test_a_reader_gets_less_when_the_file_ends_before(growing: Growing, aside: ThreadPoolExecutor) -> None:
    read = aside.submit(growing.read, 2, 80)
    growing.append(b"all")
    growing.finish()
    assert read.result() == b"l"
    assert growing.read(3, 1) == growing.read(50, 1) == b""
    assert growing.wait() == 3


def test_parts_count_when_nothing_is_missing_before_them(growing: Growing) -> None:
    sizes = []
    for at, content in [(6, b"789"), (0, b"012"), (3, b"345")]:
        growing.put(at, content)
        sizes.append(growing.size)
    assert sizes == [0, 3, 9]
    assert growing.read(0, 9) == b"012345789"


def test_nothing_behind_a_gap_is_read_when_the_file_ends_there(growing: Growing) -> None:
    growing.put(0, b"012")
    growing.put(6, b"678")
    growing.finish()
    assert growing.read(0, 9) == b"012"


@pytest.mark.parametrize("ask", [lambda it: it.read(0, 9), lambda it: it.wait(), lambda it: it.reach(9)])
def test_those_who_wait_hear_the_first_error(
    ask: Callable[[Growing], object], growing: Growing, aside: ThreadPoolExecutor
) -> None:
    asked = aside.submit(ask, growing)
    growing.append(b"some")
    growing.fail(StorageUnavailableError("gone"))
    growing.fail(UnreadableMediaError("cut off"))
    with pytest.raises(StorageUnavailableError, match="gone"):
        asked.result()


def test_nothing_is_read_or_written_when_the_file_has_failed(growing: Growing) -> None:
    growing.append(b"some")
    growing.fail(UnreadableMediaError("damaged"))
    for call in (lambda: growing.read(0, 2), lambda: growing.append(b"more")):
        with pytest.raises(UnreadableMediaError):
            call()


def test_a_file_is_refused_when_it_is_larger_than_allowed(growing: Growing) -> None:
    growing.append(bytes(100))
    with pytest.raises(TooLongError):
        growing.append(b"1")


def test_the_disk_is_free_when_it_is_closed(growing: Growing) -> None:
    growing.append(b"some")
    growing.close()
    assert not growing.path.exists()


def test_the_length_is_the_declared_one_until_the_true_one_is_known(tmp_path: Path) -> None:
    sound = Sound(tmp_path / "sound", 10 * BYTES_PER_SECOND)
    assert sound.expected_seconds is None
    sound.declared_seconds = 2.0
    sound.append(bytes(BYTES_PER_SECOND))
    assert (sound.expected_seconds, sound.seconds) == (2.0, 1.0)
    sound.append(bytes(2 * BYTES_PER_SECOND))
    assert sound.expected_seconds == 3.0
    sound.append(bytes(BYTES_PER_SECOND))
    sound.finish()
    assert (sound.expected_seconds, sound.seconds) == (4.0, 4.0)


def test_the_chunks_are_all_of_the_sound(tmp_path: Path) -> None:
    content = bytes(range(256)) * (65 * BYTES_PER_SECOND // 256)
    sound = Sound(tmp_path / "sound", len(content))
    sound.append(content)
    sound.finish()
    chunks = list(sound.chunks())
    assert [len(chunk) // BYTES_PER_SECOND for chunk in chunks] == [30, 30, 5]
    assert b"".join(chunks) == content
