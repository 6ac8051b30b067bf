"""Where the frames of an MP3 file begin, told from their headers alone. Called by `split`.

A file is hostile: one pass without a guess, and None for all that is not one frame behind another of the same kind.
"""

from array import array
from mmap import MADV_DONTNEED, mmap
from typing import NamedTuple

from worker.containers import skip_tags

FRAMES_PER_MARK = 64
MARKS_PER_RELEASE = 64
ID3V1_BYTES = 128
HEADER_BYTES = 4
LAYER_3_BITS = 0b01
MONO_BITS = 0b11
DECODER_DELAY = 529
"""What any decoder adds to the delay that an encoder writes down; ffmpeg takes both off the front."""

RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
KILOBITS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KILOBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
INFO_TAGS = (b"Xing", b"Info")
INFO_PLACES = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}
VBRI_PLACE = 36
NAME_PLACE = 16 + 100 + 4  # of the encoder, when all four fields are there
PADS_PLACE = NAME_PLACE + 21
ALL_FIELDS = 0b1111
ENCODERS = (b"LAME", b"Lavf", b"Lavc")
SIZE_TOLERANCE = 1 << 12


class Frames(NamedTuple):
    """Samples are counted from the first frame that is sound; those before `start` and from `end` on are no part of it.

    `marks` are the places of every 64th frame.
    """

    rate: int
    frame_samples: int
    start: int
    end: int
    marks: "array[int]"


class _Kind(NamedTuple):
    """What all frames of a file have in common."""

    second_byte: int
    is_mono: bool
    is_version_1: bool
    rate: int
    sizes: tuple[int, ...]
    """Of a frame by the third byte of its header; 0 for what no frame of this kind has there."""


class _Info(NamedTuple):
    """The frame without sound in front, of which encoders make a table of contents."""

    is_there: bool = False
    frames: int | None = None
    start_pad: int = 0
    end_pad: int = 0


def scan(data: mmap | bytes) -> Frames | None:
    """The frames of a whole file."""
    at, _ = skip_tags(lambda at, size: data[at : at + size])
    kind = _parse_kind(data[at : at + HEADER_BYTES])
    if kind is None:
        return None
    size = kind.sizes[data[at + 2]]
    end = len(data) - (ID3V1_BYTES if data[-ID3V1_BYTES:].startswith(b"TAG") else 0)
    info = _parse_info(data[at : at + size], kind, end - at)
    if info is None:
        return None
    found = _walk(data, at + size * info.is_there, end, kind)
    return _measure(kind, info, *found) if found else None


def _parse_kind(header: bytes) -> _Kind | None:
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] >> 5 != 0b111:
        return None
    version, layer, rate_index = header[1] >> 3 & 3, header[1] >> 1 & 3, header[2] >> 2 & 3
    if version not in RATES or layer != LAYER_3_BITS or rate_index == 3:
        return None
    sizes = tuple(_measure_frame(third, version, rate_index) for third in range(256))
    if not sizes[header[2]]:
        return None
    rate = RATES[version][rate_index]
    return _Kind(header[1] | 1, header[3] >> 6 == MONO_BITS, version == 3, rate, sizes)


def _measure_frame(third: int, version: int, rate_index: int) -> int:
    bitrate, padding = third >> 4, third >> 1 & 1
    if bitrate in (0, 15) or third >> 2 & 3 != rate_index:
        return 0
    kilobits = (KILOBITS_1 if version == 3 else KILOBITS_2)[bitrate - 1]
    return (144_000 if version == 3 else 72_000) * kilobits // RATES[version][rate_index] + padding


def _parse_info(frame: bytes, kind: _Kind, file_bytes: int) -> _Info | None:
    """What the first frame tells; None when it is something that not all versions of ffmpeg take in one way."""
    if frame[VBRI_PLACE:].startswith(b"VBRI"):
        return _Info(is_there=True)
    tag = frame[INFO_PLACES[kind.is_version_1, kind.is_mono] :]
    if not tag.startswith(INFO_TAGS):
        return _Info()
    if int.from_bytes(tag[4:8]) != ALL_FIELDS or len(tag) < PADS_PLACE + 3:
        return None
    frames, size = int.from_bytes(tag[8:12]), int.from_bytes(tag[12:16])
    if not frames or abs(size - file_bytes) > SIZE_TOLERANCE:
        return None
    if not tag[NAME_PLACE:].startswith(ENCODERS):
        return _Info(is_there=True)
    pads = int.from_bytes(tag[PADS_PLACE : PADS_PLACE + 3])
    return _Info(True, frames, (pads >> 12) + DECODER_DELAY, max(0, (pads & 0xFFF) - DECODER_DELAY))


def _walk(data: mmap | bytes, at: int, end: int, kind: _Kind) -> tuple[int, "array[int]"] | None:
    """How many frames there are and every 64th's place; None unless they fill the file."""
    marks, count = array("Q"), 0
    second_byte, is_mono, _, _, sizes = kind
    while at + HEADER_BYTES <= end:
        size = sizes[data[at + 2]]
        if (
            not size
            or data[at] != 0xFF
            or data[at + 1] | 1 != second_byte
            or (data[at + 3] >> 6 == MONO_BITS) != is_mono
        ):
            return None
        if count % FRAMES_PER_MARK == 0:
            marks.append(at)
            if len(marks) % MARKS_PER_RELEASE == 0:
                _release(data)
        count += 1
        at += size
    return (count, marks) if at == end else None


def _release(data: mmap | bytes) -> None:
    """What was read is no longer memory of this process."""
    if isinstance(data, mmap):
        data.madvise(MADV_DONTNEED)


def _measure(kind: _Kind, info: _Info, count: int, marks: "array[int]") -> Frames | None:
    if info.frames not in (None, count):
        return None
    frame_samples = 1152 if kind.is_version_1 else 576
    return Frames(kind.rate, frame_samples, info.start_pad, count * frame_samples - info.end_pad, marks)
