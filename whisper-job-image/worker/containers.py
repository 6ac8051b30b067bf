"""Which of ffmpeg's demuxers reads a file, told from its first bytes. Called by `media`.

ffmpeg would guess, and among its guesses are playlists that name other files. What is not in this table is refused.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 512
ID3_HEADER_BYTES = 10
MOST_ID3_TAGS = 8
MOST_ZEROS = 2048
BOX_HEADER_BYTES = 16
MOST_BOXES = 16

Reading = Callable[[int, int], bytes]
"""From which byte on, and how many; fewer at the end of the file."""

SIGNATURES = {
    b"OggS": "ogg",
    b"fLaC": "flac",
    b"FLV\x01": "flv",
    b"caff": "caf",
    b"#!AMR": "amr",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"\x00\x00\x01\xba": "mpeg",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"riff\x2e\x91\xcf\x11": "w64",
}
CHUNKED = {
    (b"RIFF", b"WAVE"): "wav",
    (b"RF64", b"WAVE"): "wav",
    (b"RIFF", b"AVI "): "avi",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}
MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
READ_IN_ORDER = {"aac", "flac", "matroska", "mp3", "mpegts", "ogg", "wav"}
PICTURE_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"jxl ", b"crx "}
TRANSPORT_PACKETS = ((0, 188), (4, 192), (0, 204))  # where the first sync byte is, how far off the next


def find_demuxer(path: Path) -> str | None:
    """The name that ffmpeg has for the demuxer, None for what is no container of sound or film."""
    with path.open("rb") as file:
        return tell_demuxer(partial(_read_at, file))


def tell_demuxer(read: Reading) -> str | None:
    """The same for a file that may still be coming."""
    _, head = skip_tags(read)
    return None if head.startswith(b"ID3") else match(head)


def skip_tags(read: Reading) -> tuple[int, bytes]:
    """Where the file begins behind its ID3 tags, and how; such a tag still, if there are too many."""
    at, head = 0, read(0, HEAD_BYTES)
    for _ in range(MOST_ID3_TAGS):
        if not head.startswith(b"ID3"):
            break
        at += _measure_tag(head)
        at, head = _read_behind_zeros(read, at)
    return at, head


def is_read_in_order(demuxer: str, read: Reading) -> bool:
    """Whether ffmpeg needs no end of the file before its middle, so that a pipe will do."""
    return demuxer in READ_IN_ORDER or (demuxer == "mov" and _has_index_first(read))


def _has_index_first(read: Reading) -> bool:
    at = 0
    for _ in range(MOST_BOXES):
        head = read(at, BOX_HEADER_BYTES)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind in {b"moov", b"mdat"} or kind not in MP4_BOXES:
            return kind == b"moov"
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            return False
        at += size
    return False


def _read_at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def match(head: bytes) -> str | None:
    """The same for a file that begins so."""
    for signature, demuxer in SIGNATURES.items():
        if head.startswith(signature):
            return demuxer
    if head[4:8] in MP4_BOXES:
        return None if head[4:8] == b"ftyp" and head[8:12] in PICTURE_BRANDS else "mov"
    if _is_transport_stream(head):
        return "mpegts"
    return CHUNKED.get((head[:4], head[8:12])) or _match_mpeg_audio(head)


def _measure_tag(head: bytes) -> int:
    """The size of an ID3 tag, which MP3, AAC and FLAC files may have in front."""
    size = 0
    for byte in head[6:ID3_HEADER_BYTES]:
        size = size << 7 | byte & 0x7F
    return ID3_HEADER_BYTES + size


def _read_behind_zeros(read: Reading, at: int) -> tuple[int, bytes]:
    """What comes there, and where: some writers make the tag longer than they say."""
    content = read(at, MOST_ZEROS + HEAD_BYTES)
    zeros = len(content) - len(content.lstrip(b"\0"))
    return at + zeros, content[zeros : zeros + HEAD_BYTES]


def _is_transport_stream(head: bytes) -> bool:
    return any(head[at : at + 1] == head[at + step : at + step + 1] == b"G" for at, step in TRANSPORT_PACKETS)


def _match_mpeg_audio(head: bytes) -> str | None:
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    is_synchronous, version, layer = head[1] & 0xE0 == 0xE0, head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    # ones everywhere are a byte order mark, or nothing
    is_frame = is_synchronous and version != 1 and layer in {1, 2} and bit_rate != 15 and sample_rate != 3
    return "mp3" if is_frame else None
