"""The container by its first bytes, for those beginnings that no file of the hostile set has."""

from pathlib import Path

import pytest

from worker.containers import HEAD_BYTES, find_demuxer, match

MP3_FRAME, AAC_FRAME = b"\xff\xfb\x90\x64" + bytes(100), b"\xff\xf1\x50\x80" + bytes(100)
ID3 = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257)


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x18ftypmp42", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"FORM\0\0\0\0AIFC", "aiff"),
        (b"G" + bytes(187) + b"G" + bytes(100), "mpegts"),
        (bytes(4) + b"G" + bytes(191) + b"G", "mpegts"),
        (MP3_FRAME, "mp3"),
        (b"\xff\xe3\x18\xc4", "mp3"),
        (AAC_FRAME, "aac"),
        (b"#!AMR-WB\n", "amr"),
    ],
)
def test_a_container_is_known_by_its_first_bytes(head: bytes, demuxer: str) -> None:
    assert match(head) == demuxer


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"\xff\xfe<\0?\0x\0m\0l\0",
        b"\xff\xff\xff\xff",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x1cftypavif",
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\0\0\0\0MIDS",
        b"FORM\0\0\0\0ILBM",
        b"Gee, a text.",
        b"#EXTM3U\n",
        b"ffconcat version 1.0\n",
        b"\0\0\x01\xb3",
    ],
)
def test_other_files_are_not_taken_for_media(head: bytes) -> None:
    assert match(head) is None


@pytest.mark.parametrize(
    ("content", "demuxer"),
    [
        (ID3 + MP3_FRAME, "mp3"),
        (ID3 + AAC_FRAME, "aac"),
        (ID3 + b"fLaC", "flac"),
        (ID3 + ID3 + MP3_FRAME, "mp3"),
        (ID3 + bytes(1000) + MP3_FRAME, "mp3"),
        (ID3, None),
        (ID3 + b"#EXTM3U\n", None),
        (ID3 * 9 + MP3_FRAME, None),
        (b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + MP3_FRAME, None),
    ],
)
def test_tags_in_front_are_passed_over(content: bytes, demuxer: str | None, tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(content + bytes(HEAD_BYTES))
    assert find_demuxer(path) == demuxer
