"""Where the frames of a FLAC file lie, told from their headers. Called by `split`; None for all that is unusual.

A frame header is found by what it must look like and by its checksum, and it says which samples it holds.
"""

from mmap import mmap
from typing import NamedTuple

START = b"fLaC\0\0\0\x22"
START_AND_END = b"fLaC\x80\0\0\x22"
BLOCK_HEADER_BYTES = 4
STREAMINFO_BYTES = 34
MOST_BLOCKS = 128
SYNC = b"\xff\xf8"  # blocks of one size: then frames are numbered
MOST_SYNCS = 4096
MOST_STEPS = 64
WINDOW_BYTES = 1 << 20
CLOSE_SAMPLES = 1 << 19
RATES = {4: 8000, 5: 16000, 6: 22050, 7: 24000, 8: 32000, 9: 44100, 10: 48000, 11: 96000}
BITS = {8: 16, 12: 24}
BLOCK_SIZE_BYTES = {6: 1, 7: 2}
MOST_NUMBER_BYTES = 6
HEADER_BYTES = 16


class Flac(NamedTuple):
    """What the file says of all its frames, and where the first begins."""

    rate: int
    channels: int
    bits: int
    block_samples: int
    samples: int
    first: int


def parse(data: mmap | bytes) -> Flac | None:
    """The head of a whole file."""
    if data[:8] != START and data[:8] != START_AND_END:
        return None
    at = 4
    for _ in range(MOST_BLOCKS):
        head = data[at : at + BLOCK_HEADER_BYTES]
        at += BLOCK_HEADER_BYTES + int.from_bytes(head[1:])
        if at >= len(data):
            return None
        if head[0] & 0x80:
            return _parse_streaminfo(data[8 : 8 + STREAMINFO_BYTES], at)
    return None


def find_entry(data: mmap | bytes, flac: Flac, sample: int) -> tuple[int, int] | None:
    """A frame not far before a sample: its place and its first sample; None where none was to be found."""
    low, high = (flac.first, 0), (len(data), flac.samples)
    for _ in range(MOST_STEPS):
        if sample - low[1] <= CLOSE_SAMPLES:
            return low
        aim = max(0, sample - CLOSE_SAMPLES // 2) - low[1]
        guess = low[0] + 1 + (high[0] - low[0] - 1) * aim // max(1, high[1] - low[1])
        found = _find_frame(data, flac, guess, min(high[0], guess + WINDOW_BYTES))
        if found is None or not low[1] < found[1] < high[1]:
            return None
        if found[1] <= sample:
            low = found
        else:
            high = (guess, found[1])
    return None


def _parse_streaminfo(block: bytes, first: int) -> Flac | None:
    least, most = int.from_bytes(block[:2]), int.from_bytes(block[2:4])
    facts = int.from_bytes(block[10:18])
    rate, channels, bits, samples = facts >> 44, (facts >> 41 & 7) + 1, (facts >> 36 & 31) + 1, facts & (1 << 36) - 1
    is_plain = least == most > 0 and samples > 0 and channels <= 2 and rate in RATES.values() and bits in BITS.values()
    return Flac(rate, channels, bits, most, samples, first) if is_plain else None


def _find_frame(data: mmap | bytes, flac: Flac, at: int, end: int) -> tuple[int, int] | None:
    for _ in range(MOST_SYNCS):
        at = data.find(SYNC, at, end)
        if at < 0:
            return None
        number = _parse_number(data[at : at + 16], flac)
        if number is not None:
            return at, number * flac.block_samples
        at += 1
    return None


def _parse_number(header: bytes, flac: Flac) -> int | None:
    """Which frame it is, None when it is none of this file's."""
    if len(header) < HEADER_BYTES or RATES.get(header[2] & 15) != flac.rate:
        return None
    if BITS.get(header[3] & 15) != flac.bits or (header[3] >> 4 == 0) != (flac.channels == 1):
        return None
    number, at = _parse_coded(header, 4)
    at += BLOCK_SIZE_BYTES.get(header[2] >> 4, 0)
    is_whole = number is not None and header[at] == _checksum(header[:at])
    return number if is_whole else None


def _parse_coded(header: bytes, at: int) -> tuple[int | None, int]:
    """A number written as UTF-8 writes one, and what comes after it."""
    lead = 8 - (header[at] ^ 0xFF).bit_length()
    if lead == 0:
        return header[at], at + 1
    if lead == 1 or lead > MOST_NUMBER_BYTES:
        return None, at
    number = header[at] & (0x7F >> lead)
    for byte in header[at + 1 : at + lead]:
        number = number << 6 | byte & 0x3F
    return number, at + lead


def _checksum(header: bytes) -> int:
    crc = 0
    for byte in header:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x107 if crc & 0x80 else 0)) & 0xFF
    return crc
