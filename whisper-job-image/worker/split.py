"""Which parts of a long recording ffmpeg can decode at once, so that the joined samples are those of one run.

Pure but for the file that it reads. What is not surely to be cut is left whole. Called by whoever decodes; `parallel`
runs the parts and proves each seam.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from worker import mp3_frames, wave_header

SAMPLE_RATE = 16_000
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
    find_entry: Callable[[int], tuple[int, int]]
    """The byte from which on this sample is decoded rightly, and the sample that stands there."""


def find_parts(path: Path, demuxer: str, cpus: int, max_seconds: float) -> list[Part]:
    """At least two parts in their order, or none: then one run has to do, which also says what is wrong with a file."""
    readers = {"mp3": _read_mp3, "wav": _read_wave}
    if cpus < 2 or demuxer not in readers or path.stat().st_size == 0:
        return []
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        track = readers[demuxer](data)
    if track is None or not SHORTEST_SECONDS <= (track.end - track.start) / track.rate <= max_seconds:
        return []
    return cut(track, demuxer, cpus)


def cut(track: Track, demuxer: str, cpus: int) -> list[Part]:
    """Parts of one length, but for what the resampler's phase asks."""
    seconds = (track.end - track.start) / track.rate
    count = int(min(cpus, MOST_PARTS, seconds // SHORTEST_PART_SECONDS))
    period = track.rate // math.gcd(track.rate, SAMPLE_RATE)
    seams = [(track.end - track.start) * number // count // period * period for number in range(count)]
    pairs = list(pairwise([*seams, track.end - track.start]))
    first = Part(0, demuxer, (), "anull", 0, _to_output(track, pairs[0][1]))
    return [first, *(_build_part(track, period, *pair) for pair in pairs[1:])]


def _build_part(track: Track, period: int, seam: int, end: int) -> Part:
    history = math.ceil(HISTORY_SAMPLES / period) * period
    resampled_from = track.start + seam - history
    offset, sample = track.find_entry(resampled_from)
    trim = f"atrim=start_sample={resampled_from - sample}:end_sample={track.end - sample}"
    own = _to_output(track, end) - _to_output(track, seam)
    return Part(offset, track.demuxer, track.options, trim, _to_output(track, history), own)


def _to_output(track: Track, samples: int) -> int:
    return samples * SAMPLE_RATE // track.rate


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
