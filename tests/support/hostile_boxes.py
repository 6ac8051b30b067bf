"""The bytes of containers, as far as no program writes them the wrong way. Used by `hostile`."""

import struct
from collections.abc import Sequence

FLAC_BLOCK = 65_535
FLAC_RATE = 8_000


def a_wav(
    samples: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16, declared: int | None = None
) -> bytes:
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    size = len(samples) if declared is None else declared
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + b"WAVE" + chunks


def a_flac_of_silence(seconds: int, *, declared: int) -> bytes:
    """Hours in a few bytes: one constant for each 65,535 samples."""
    packed = FLAC_RATE << 44 | 0 << 41 | 15 << 36 | declared * FLAC_RATE
    info = struct.pack(">HH", FLAC_BLOCK, FLAC_BLOCK) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    frames = (_flac_frame(n) for n in range(seconds * FLAC_RATE // FLAC_BLOCK))
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + b"".join(frames)


def _flac_frame(number: int) -> bytes:
    # the size of the block follows in 16 bits, the rate is 8 kHz, one channel of 16 bits
    head = b"\xff\xf8\x74\x08" + chr(number).encode() + struct.pack(">H", FLAC_BLOCK - 1)
    body = head + bytes([_crc(head, 0x07, 8)]) + b"\0\0\0"
    return body + _crc(body, 0x8005, 16).to_bytes(2, "big")


def _crc(data: bytes, polynomial: int, width: int) -> int:
    value, top = 0, 1 << width - 1
    for byte in data:
        value ^= byte << width - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & (top << 1) - 1
    return value


def patch_after(content: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """Overwrite what stands that far behind the mark."""
    at = content.index(mark) + len(mark) + offset
    return content[:at] + new + content[at + len(new) :]


def insert(content: bytes, path: Sequence[bytes], mark: bytes, new: bytes) -> bytes:
    """Put bytes behind a mark, in place of four, in an MP4 file whose moov comes last; all boxes around it grow."""
    changed = bytearray(content)
    at = 0
    grown = len(new) - 4
    for name in (*path, mark):
        at = changed.index(name, at)
        size = int.from_bytes(changed[at - 4 : at], "big")
        changed[at - 4 : at] = (size + grown).to_bytes(4, "big")
        at += 4
    changed[at : at + 4] = new
    return bytes(changed)


def a_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def an_avi_with_subtitles(playlist: bytes) -> bytes:
    """An AVI whose one track has subtitles that are another file; which kind, ffmpeg used to find out by itself."""
    kind = struct.pack("<4s4sIHHIIIIIIIIhhhh", b"txts", b"\0" * 4, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)
    track = a_chunk(b"LIST", b"strl" + a_chunk(b"strh", kind) + a_chunk(b"strf", b""))
    head = a_chunk(b"LIST", b"hdrl" + a_chunk(b"avih", struct.pack("<14I", 40_000, *([0] * 5), 1, *([0] * 7))) + track)
    packet = b"GAB2\0\2\0" + struct.pack("<I", 2) + b"x\0\4\0" + struct.pack("<I", len(playlist)) + playlist
    body = a_chunk(b"LIST", b"movi" + a_chunk(b"00tx", packet))
    content = b"AVI " + head + body
    return b"RIFF" + struct.pack("<I", len(content)) + content
