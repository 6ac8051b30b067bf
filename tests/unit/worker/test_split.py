"""Where a long recording is cut, from its headers alone; what is not surely to be cut is left whole."""

import struct
from array import array
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import flac_frames, mp3_frames, wave_header
from worker.flac_frames import CLOSE_SAMPLES, Flac
from worker.mp3_frames import FRAMES_PER_MARK, Frames
from worker.split import MOST_PARTS, Part, Track, cut, find_parts

HEADER = bytes.fromhex("fffb10c4")  # MPEG 1, layer III, 32 kbit/s, 44.1 kHz, mono
FRAME_BYTES = 104
PADDED = bytes.fromhex("fffb12c4")
STEREO = bytes.fromhex("fffb1004")
OTHER_RATE = bytes.fromhex("fffb14c4")
OTHER_VERSION = bytes.fromhex("fff310c4")
FREE_FORMAT = bytes.fromhex("fffb00c4")
WITH_CHECKSUM = bytes.fromhex("fffa10c4")
INFO_PLACE = 21
DELAY, PADDING = 576, 1000


def a_frame(header: bytes = HEADER, size: int = FRAME_BYTES) -> bytes:
    return header.ljust(size, b"\x55")


def an_info_frame(frames: int, size: int, encoder: bytes = b"LAME3.100", flags: int = 15) -> bytes:
    tag = struct.pack(">4sIII100xI", b"Info", flags, frames, size, 0) + encoder.ljust(9) + bytes(12)
    tag += (DELAY << 12 | PADDING).to_bytes(3)
    return (bytes.fromhex("fffb50c4").ljust(INFO_PLACE, b"\0") + tag).ljust(208, b"\0")


def an_mp3(frames: int = 200, said_frames: int | None = None, said_bytes: int | None = None) -> bytes:
    size = 208 + frames * FRAME_BYTES
    info = an_info_frame(frames if said_frames is None else said_frames, size if said_bytes is None else said_bytes)
    return info + a_frame() * frames


def a_wave(seconds: int = 660, code: int = 1, bits: int = 16, channels: int = 2, rate: int = 8000) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
    data = b"data" + struct.pack("<I", seconds * rate * block) + bytes(seconds * rate * block)
    return b"RIFF" + struct.pack("<I", 28 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + form + data


def an_extensible_wave(layout: int, guid: str = "0100000000001000800000aa00389b71", valid_bits: int = 16) -> bytes:
    plain = a_wave(1)
    extension = struct.pack("<HHI", 22, valid_bits, layout) + bytes.fromhex(guid)
    return plain[:16] + struct.pack("<IH", 40, 0xFFFE) + plain[22:36] + extension + plain[36:]


def a_flac_head(block: int = 4096, samples: int = 4096 * 500, rate: int = 44100, bits: int = 16) -> bytes:
    facts = rate << 44 | 1 << 41 | (bits - 1) << 36 | samples
    info = struct.pack(">HH6xQ16x", block, block, facts)
    return b"fLaC\0\0\0\x22" + info + b"\x81\0\0\4note"


def a_flac_frame(number: int, size: int = 100) -> bytes:
    header = b"\xff\xf8\xc9\x18" + chr(number).encode()
    return (header + bytes([checksum(header)])).ljust(size, b"\x55")


def checksum(content: bytes) -> int:
    """As the format has it: x^8 + x^2 + x + 1."""
    value = int.from_bytes(content) << 8
    for bit in range(value.bit_length() - 1, 7, -1):
        value ^= (0x107 << (bit - 8)) * (value >> bit & 1)
    return value


def a_flac(frames: int = 500) -> bytes:
    """Its second half takes four times as many bytes."""
    sizes = (60 if number < frames // 2 else 240 for number in range(frames))
    return a_flac_head() + b"".join(a_flac_frame(number, size) for number, size in enumerate(sizes))


def a_track(rate: int = 44100, seconds: int = 3600, start: int = 1105) -> Track:
    return Track(rate, start, start + rate * seconds, "raw", ("-x",), lambda sample: (sample // 1000, sample - 7))


def test_each_frame_is_found_when_padding_comes_and_goes() -> None:
    content = b"".join(a_frame(PADDED, FRAME_BYTES + 1) if n % 3 else a_frame() for n in range(130))
    frames = mp3_frames.scan(content)
    assert frames is not None
    assert (frames.rate, frames.start, frames.end) == (44100, 0, 130 * 1152)
    assert list(frames.marks) == [0, 64 * FRAME_BYTES + 42, 128 * FRAME_BYTES + 85]


def test_frames_lie_behind_a_tag_and_its_zeros() -> None:
    tag = b"ID3\4\0\0" + bytes((0, 0, 1, 2)) + bytes(130)
    frames = mp3_frames.scan(tag + bytes(50) + a_frame() * 3)
    assert frames is not None
    assert list(frames.marks) == [190]


def test_a_tag_at_the_end_is_no_frame() -> None:
    frames = mp3_frames.scan(a_frame() * 3 + b"TAG".ljust(128))
    assert frames is not None
    assert frames.end == 3 * 1152


def test_the_delay_and_the_padding_that_an_encoder_wrote_down_are_no_sound() -> None:
    content = an_mp3(200)
    assert mp3_frames.scan(content) == Frames(
        44100,
        1152,
        DELAY + 529,
        200 * 1152 - (PADDING - 529),
        array("Q", range(208, 208 + 200 * FRAME_BYTES, FRAMES_PER_MARK * FRAME_BYTES)),
    )


def test_an_encoder_that_is_not_known_has_no_delay() -> None:
    frames = mp3_frames.scan(an_info_frame(3, 208 + 3 * FRAME_BYTES, b"Gogo3.13") + a_frame() * 3)
    assert frames is not None
    assert (frames.start, frames.end) == (0, 3 * 1152)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        HEADER,
        a_frame()[:-1],
        a_frame() + a_frame()[:-1],
        a_frame() * 2 + b"\xff",
        a_frame() + b"\0" + a_frame(),
        a_frame() + a_frame(STEREO),
        a_frame() + a_frame(OTHER_RATE),
        a_frame() + a_frame(OTHER_VERSION),
        a_frame() + a_frame(FREE_FORMAT),
        a_frame(FREE_FORMAT) * 3,
        a_frame() + b"APETAGEX".ljust(64) + a_frame(),
        b"ID3\4\0\0\x7f\x7f\x7f\x7f",
        an_mp3(20, said_frames=19),
        an_mp3(20, said_frames=21),
        an_mp3(20, said_frames=0),
        an_mp3(200, said_bytes=1000),
        an_info_frame(3, 208 + 3 * FRAME_BYTES, flags=3) + a_frame() * 3,
    ],
)
def test_nothing_is_found_when_it_is_not_one_frame_behind_another(content: bytes) -> None:
    assert mp3_frames.scan(content) is None


def test_a_checksum_in_some_frames_is_no_difference() -> None:
    assert mp3_frames.scan(a_frame() + a_frame(WITH_CHECKSUM)) is not None


@given(st.binary(max_size=400), st.sampled_from([b"", HEADER, b"ID3", an_mp3(2), a_frame()]))
def test_hostile_headers_are_no_error(noise: bytes, head: bytes) -> None:
    frames = mp3_frames.scan(head + noise)
    assert frames is None or frames.start >= 0 < frames.frame_samples
    wave_header.parse(b"RIFF\0\0\0\0WAVE" + noise)
    flac_frames.parse(b"fLaC\0\0\0\x22" + noise)


@given(st.lists(st.binary(max_size=40)), st.integers(0, 4096 * 499))
def test_hostile_frames_of_flac_are_no_error(noise: list[bytes], sample: int) -> None:
    content = a_flac_head() + b"\xff\xf8\xc9\x18".join([*noise, a_flac_frame(150), a_flac_frame(7)])
    flac = flac_frames.parse(content)
    assert flac is not None
    entry = flac_frames.find_entry(content, flac, sample)
    assert entry is None or entry[1] <= sample


@given(st.data())
def test_a_scan_of_a_damaged_file_finds_it_whole_or_not_at_all(data: st.DataObject) -> None:
    content = bytearray(an_mp3(70))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    frames = mp3_frames.scan(bytes(content))
    assert frames is None or len(frames.marks) == 2


@pytest.mark.parametrize(
    ("code", "bits", "demuxer"), [(1, 8, "u8"), (1, 16, "s16le"), (1, 24, "s24le"), (3, 32, "f32le")]
)
def test_the_samples_of_a_plain_wave_are_found(code: int, bits: int, demuxer: str) -> None:
    wave = wave_header.parse(a_wave(1, code, bits))
    assert wave is not None
    assert (wave.demuxer, wave.offset, wave.samples, wave.block_bytes) == (demuxer, 44, 8000, bits // 4)


@pytest.mark.parametrize(
    "content",
    [
        a_wave(1)[:-1],
        a_wave(1)[:20],
        a_wave(1).replace(b"fmt ", b"junk"),
        a_wave(1, code=2),
        a_wave(1, bits=12),
        a_wave(1, channels=6),
        a_wave(1, rate=44056),
        a_wave(1).replace(b"RIFF", b"RF64"),
        an_extensible_wave(0x30),
        an_extensible_wave(3, guid="0200000000001000800000aa00389b71"),
        an_extensible_wave(3, valid_bits=12),
    ],
)
def test_no_samples_are_found_in_a_wave_that_is_not_plain(content: bytes) -> None:
    assert wave_header.parse(content) is None


def test_the_samples_of_an_extensible_wave_are_found_when_it_says_nothing_unusual() -> None:
    wave = wave_header.parse(an_extensible_wave(3))
    assert wave is not None
    assert (wave.offset, wave.samples, wave.demuxer) == (68, 8000, "s16le")


def test_the_facts_of_a_flac_file_are_found() -> None:
    assert flac_frames.parse(a_flac()) == Flac(44100, 2, 16, 4096, 4096 * 500, 50)


@pytest.mark.parametrize(
    "content",
    [
        b"fLaC",
        a_flac_head(),
        a_flac_head()[:-8] + b"\x01\xff\xff\xff",
        a_flac_head(rate=44056) + bytes(99),
        a_flac_head(bits=20) + bytes(99),
        a_flac_head(samples=0) + bytes(99),
        a_flac_head(block=0) + bytes(99),
        a_flac_head().replace(b"\x10\0\x10\0", b"\x10\0\x20\0") + bytes(99),
    ],
)
def test_no_facts_are_found_in_a_flac_file_that_is_not_plain(content: bytes) -> None:
    assert flac_frames.parse(content) is None


@pytest.mark.parametrize("frame", [0, 1, 127, 128, 200, 249, 250, 333, 499])
def test_a_frame_of_flac_is_found_close_before_a_sample(frame: int) -> None:
    content = a_flac()
    flac = flac_frames.parse(content)
    assert flac is not None
    entry = flac_frames.find_entry(content, flac, frame * 4096)
    assert entry is not None
    offset, sample = entry
    assert 0 <= frame * 4096 - sample <= CLOSE_SAMPLES
    assert content[offset:].startswith(a_flac_frame(sample // 4096, 10)[:6])


def test_no_frame_of_flac_is_found_where_checksums_are_wrong() -> None:
    broken = bytearray(a_flac())
    for at in range(50, len(broken) - 6):
        if broken[at : at + 4] == b"\xff\xf8\xc9\x18":
            broken[at + 4] ^= 1
    flac = flac_frames.parse(bytes(broken))
    assert flac is not None
    assert flac_frames.find_entry(bytes(broken), flac, 4096 * 400) is None


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_seams_lie_where_the_resampler_begins_anew(rate: int) -> None:
    parts = cut(a_track(rate), "mp3", 4)
    assert len(parts) == 4
    assert sum(part.samples for part in parts) == 3600 * 16000
    for part, seam in zip(parts[1:], accumulate(part.samples for part in parts), strict=False):
        assert seam * rate % 16000 == 0
        assert part.dropped_samples * rate % 16000 == 0
        assert part.dropped_samples * rate // 16000 >= 4096
        assert part.filters.startswith("atrim=start_sample=7:")


def test_the_first_part_is_read_as_the_file_is() -> None:
    first = cut(a_track(), "mp3", 2)[0]
    assert (first.offset, first.demuxer, first.options, first.dropped_samples) == (0, "mp3", (), 0)


def test_the_last_part_ends_where_the_sound_does() -> None:
    last = cut(a_track(start=1105), "mp3", 2)[-1]
    resampled_from = 1105 + 44100 * 1800 - last.dropped_samples * 44100 // 16000
    assert last.filters == f"atrim=start_sample=7:end_sample={1105 + 44100 * 3600 - resampled_from + 7},asetpts=N/SR/TB"


@pytest.mark.parametrize(
    ("cpus", "seconds", "parts"), [(2, 3600, 2), (8, 3600, 8), (64, 36000, MOST_PARTS), (8, 600, 2)]
)
def test_there_are_as_many_parts_as_cpus_but_none_too_short(cpus: int, seconds: int, parts: int) -> None:
    assert len(cut(a_track(seconds=seconds), "mp3", cpus)) == parts


def test_an_mp3_decoder_has_seen_enough_frames_before_a_seam(tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(an_mp3(30_000))
    second = find_parts(path, "mp3", 2, 3600)[1]
    frames_before = (second.offset - 208) // FRAME_BYTES
    assert (second.offset - 208) % (FRAME_BYTES * FRAMES_PER_MARK) == 0
    start = int(second.filters.split("start_sample=")[1].split(":")[0])
    assert 64 * 1152 <= start <= 129 * 1152
    assert (frames_before * 1152 + start - DELAY - 529) % 441 == 0


def test_a_wave_is_cut_at_the_bytes_of_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(a_wave(660))
    first, second = find_parts(path, "wav", 2, 3600)
    assert second == Part(
        offset=44 + (330 * 8000 - 4096) * 4,
        demuxer="s16le",
        options=("-ar", "8000", "-ac", "2"),
        filters=f"atrim=start_sample=0:end_sample={330 * 8000 + 4096},asetpts=N/SR/TB",
        dropped_samples=8192,
        samples=330 * 16000,
    )
    assert first.samples == second.samples


@pytest.mark.parametrize(
    ("content", "demuxer", "cpus", "max_seconds"),
    [
        (b"", "mp3", 2, 3600),
        (b"nothing of the kind", "mp3", 2, 3600),
        (a_wave(660), "wav", 1, 3600),
        (a_wave(599), "wav", 2, 3600),
        (a_wave(660), "wav", 2, 659),
        (a_wave(660), "flac", 2, 3600),
        (a_wave(660), "mp3", 2, 3600),
    ],
)
def test_a_file_is_left_whole_when_it_cannot_or_need_not_be_cut(
    content: bytes, demuxer: str, cpus: int, max_seconds: int, tmp_path: Path
) -> None:
    path = tmp_path / "media"
    path.write_bytes(content)
    assert find_parts(path, demuxer, cpus, max_seconds) == []
