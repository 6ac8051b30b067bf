"""Where an MP3 tells its size, and the file without it."""

from functools import partial
from pathlib import Path

import pytest

from worker.growing import Growing
from worker.mp3_size import Blanked, SizeField, find_size_field

ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x05" + bytes(5)
HEADERS = {36: b"\xff\xfb\x90\x00", 21: b"\xff\xfb\x90\xc0", 13: b"\xff\xf3\x90\xc0"}
"""By where the tag is: two channels, one, and one of MPEG 2."""


def a_file(tag_at: int, tag: bytes = b"Info", flags: int = 3) -> bytes:
    fields = b"".join(n.to_bytes(4, "big") for bit, n in ((1, 77), (2, 1000)) if flags & bit)
    return HEADERS[tag_at].ljust(tag_at, b"\0") + tag + flags.to_bytes(4, "big") + fields + bytes(200)


def look(content: bytes) -> SizeField | None:
    return find_size_field(lambda at, size: content[at : at + size])


@pytest.mark.parametrize("tag_at", HEADERS)
@pytest.mark.parametrize("before", [b"", ID3])
def test_the_size_is_found_in_the_first_frame(tag_at: int, before: bytes) -> None:
    assert look(before + a_file(tag_at)) == SizeField(len(before) + tag_at + 12, 1000)


def test_the_size_is_found_when_no_frames_are_counted() -> None:
    assert look(a_file(36, flags=2)) == SizeField(44, 1000)


@pytest.mark.parametrize("content", [a_file(36, b"None"), a_file(36, flags=1), a_file(36)[:50], b""])
def test_there_is_no_size_when_there_is_no_such_field(content: bytes) -> None:
    assert look(content) is None


@pytest.mark.parametrize(("size", "fits"), [(10, True), (1000, True), (1062, True), (1063, False)])
def test_a_size_is_believed_when_the_file_is_hardly_larger(size: int, fits: bool) -> None:
    assert SizeField(0, 1000).fits(size) is fits


@pytest.mark.parametrize("at", [0, 3, 10, 13, 97])
@pytest.mark.parametrize("most", [1, 3, 7, 50])
def test_only_the_field_is_blank_however_the_file_is_read(at: int, most: int, tmp_path: Path) -> None:
    file = Growing(tmp_path / "media", 100)
    file.append(bytes(range(1, 101)))
    file.finish()
    blanked = Blanked(file, at)
    pieces, place = [], 0
    read = partial(blanked.read_some, most=most)
    while piece := read(place):
        pieces.append(piece)
        place += len(piece)
    wanted = bytearray(range(1, 101))
    wanted[at : at + 4] = bytes(len(wanted[at : at + 4]))
    assert b"".join(pieces) == wanted
    assert (blanked.size, blanked.is_whole) == (100, True)
