"""Which parts of a long recording ffmpeg can decode at once, so that the joined samples are those of one run.

Pure but for the file that it reads. What is not surely to be cut is left whole. Called by whoever decodes; `parallel`
runs the parts and proves each seam.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from worker import flac_frames, mp3_frames, wave_header
from worker.sound import SAMPLES_PER_SECOND

SHORTEST_SECONDS = 600
SHORTEST_PART_SECONDS = 240
MOST_PARTS = 16
HISTORY_SAMPLES = 4096
"""Of input that the resampler has seen before a seam; its filter is some hundred long."""

PREROLL_FRAMES = 64
"""That an MP3 decoder has seen before: a frame may lean on 511 bytes before it, at the least those of 23 frames."""


class Part(NamedTuple):
    """What one ffmpeg reads from its standard input, and what counts of the samples that it writes."""

    offset: int
    """Of its first byte in the file."""
    demuxer: str
    options: tuple[str, ...]
    filters: str
    dropped_samples: int
    """At the start, of output; they are another part's."""
    samples: int
    """That it has of its own, of output; the last one may have a few more or less, by the filter's end."""


class Track(NamedTuple):
    """Sound of one rate, in samples of input; it is those from start to end. It can be entered in many places."""

    rate: int
    start: int
    end: int
    demuxer: str
    options: tuple[str, ...]
    find_entry: Callable[[int], tuple[int, int] | None]
    """The byte from which on this sample is decoded rightly, and the sample that stands there."""

    is_cut_at_end: bool = True
    """Whether ffmpeg, from there on, would find more than belongs to it."""


def find_parts(path: Path, demuxer: str, cpus: int, max_seconds: float) -> list[Part]:
    """At least two parts in their order, or none: then one run has to do, which also says what is wrong with a file."""
    if cpus < 2 or demuxer not in READERS or path.stat().st_size == 0:
        return []
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        track = READERS[demuxer](data)
        if track is None or not SHORTEST_SECONDS <= (track.end - track.start) / track.rate <= max_seconds:
            return []
        return cut(track, demuxer, cpus)


def cut(track: Track, demuxer: str, cpus: int) -> list[Part]:
    """Parts of one length, but for what the resampler's phase asks."""
    seconds = (track.end - track.start) / track.rate
    count = int(min(cpus, MOST_PARTS, seconds // SHORTEST_PART_SECONDS))
    period = track.rate // math.gcd(track.rate, SAMPLES_PER_SECOND)
    seams = [(track.end - track.start) * number // count // period * period for number in range(count)]
    pairs = list(pairwise([*seams, track.end - track.start]))
    first = Part(0, demuxer, (), "anull", 0, _to_output(track, pairs[0][1]))
    others = [_build_part(track, period, *pair) for pair in pairs[1:]]
    known = [part for part in others if part is not None]
    return [first, *known] if len(known) == len(others) > 0 else []


def _build_part(track: Track, period: int, seam: int, end: int) -> Part | None:
    history = math.ceil(HISTORY_SAMPLES / period) * period
    resampled_from = track.start + seam - history
    entry = track.find_entry(resampled_from)
    if entry is None:
        return None
    offset, sample = entry
    trim = f"atrim=start_sample={resampled_from - sample}"
    if track.is_cut_at_end:
        trim += f":end_sample={track.end - sample}"
    # the times that frames of FLAC bear are those of the whole file, but for the first
    filters = f"{trim},asetpts=N/SR/TB"
    own = _to_output(track, end) - _to_output(track, seam)
    return Part(offset, track.demuxer, track.options, filters, _to_output(track, history), own)


def _to_output(track: Track, samples: int) -> int:
    return samples * SAMPLES_PER_SECOND // track.rate


def _read_mp3(data: mmap) -> Track | None:
    frames = mp3_frames.scan(data)
    if frames is None:
        return None

    def find_entry(sample: int) -> tuple[int, int]:
        mark = max(0, sample // frames.frame_samples - PREROLL_FRAMES) // mp3_frames.FRAMES_PER_MARK
        return frames.marks[mark], mark * mp3_frames.FRAMES_PER_MARK * frames.frame_samples

    return Track(frames.rate, frames.start, frames.end, "mp3", (), find_entry)


def _read_wave(data: mmap) -> Track | None:
    wave = wave_header.parse(data)
    if wave is None:
        return None
    options = ("-ar", str(wave.rate), "-ac", str(wave.channels))
    return Track(
        wave.rate,
        0,
        wave.samples,
        wave.demuxer,
        options,
        lambda sample: (wave.offset + sample * wave.block_bytes, sample),
    )


def _read_flac(data: mmap) -> Track | None:
    flac = flac_frames.parse(data)
    if flac is None:
        return None
    return Track(
        flac.rate, 0, flac.samples, "flac", (), partial(flac_frames.find_entry, data, flac), is_cut_at_end=False
    )


READERS = {"mp3": _read_mp3, "wav": _read_wave, "flac": _read_flac}
"""The containers that can be cut."""
