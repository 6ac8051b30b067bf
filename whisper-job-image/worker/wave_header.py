"""Where the samples of a plain WAV file lie. Called by `split`; None for all that is not plain."""

import struct
from mmap import mmap
from typing import NamedTuple

RIFF_BYTES = 12
CHUNK_HEADER_BYTES = 8
MOST_CHUNKS = 64
SMALLEST_FORMAT = 16
EXTENSIBLE_FORMAT = 40
EXTENSIBLE = 0xFFFE
PCM, FLOAT = 1, 3
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
DEMUXERS = {(PCM, 8): "u8", (PCM, 16): "s16le", (PCM, 24): "s24le", (PCM, 32): "s32le", (FLOAT, 32): "f32le"}
LAYOUTS = {1: (0, 0x4), 2: (0, 0x3)}
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


class Wave(NamedTuple):
    """Samples as ffmpeg's raw demuxer of this name reads them; a block is one of each channel."""

    rate: int
    channels: int
    demuxer: str
    offset: int
    block_bytes: int
    samples: int


def parse(data: mmap | bytes) -> Wave | None:
    """The samples of a whole file."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at, form = RIFF_BYTES, b""
    for _ in range(MOST_CHUNKS):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + CHUNK_HEADER_BYTES], "little")
        at += CHUNK_HEADER_BYTES
        if at + size > len(data):
            return None
        if name == b"data":
            return _build(form, at, size)
        if name == b"fmt ":
            form = data[at : at + min(size, EXTENSIBLE_FORMAT)]
        at += size + size % 2
    return None


def _build(form: bytes, offset: int, size: int) -> Wave | None:
    if len(form) < SMALLEST_FORMAT:
        return None
    code, channels, rate, _, block_bytes, bits = struct.unpack_from("<HHIIHH", form)
    if code == EXTENSIBLE:
        code = _parse_extension(form, channels, bits)
    demuxer = DEMUXERS.get((code, bits))
    if demuxer is None or channels not in LAYOUTS or rate not in RATES or block_bytes != channels * bits // 8:
        return None
    return Wave(rate, channels, demuxer, offset, block_bytes, size // block_bytes) if size % block_bytes == 0 else None


def _parse_extension(form: bytes, channels: int, bits: int) -> int:
    """The format that stands in the longer header, 0 when anything there is unusual."""
    if len(form) < EXTENSIBLE_FORMAT:
        return 0
    valid_bits, layout, code = struct.unpack_from("<HIH", form, 18)
    is_plain = valid_bits in (0, bits) and layout in LAYOUTS.get(channels, ()) and form[26:40] == GUID_TAIL
    return code if is_plain else 0
