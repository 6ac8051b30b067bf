"""Where to cut long audio: windows of at most 30 s that begin and end in pauses. Pure; called by the engine.

A pause is told by loudness alone, measured against what this file's pauses and speech are like, so no model is needed.
When in doubt something counts as speech: a needless window costs time, a missing one costs words.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]

FRAME = 160
"""Samples; whisper's own 10 ms."""
LONGEST = 3000
"""Frames; all lengths below are."""
LOOKAHEAD = 100
MEMORY = 12_000
"""How far back loudness is remembered."""
MARGIN = 25
"""Kept of a pause on either side of speech."""
SHORTEST_PAUSE = 30
LONG_PAUSE = 500
"""Ends a window even if more would fit."""
EARLIEST_CUT = 1000
EARLIEST_FORCED_CUT = 2000
SMOOTHING = 15
SOFTEST = -75.0
"""In decibels of full scale: less than this is silence in any file."""
PAUSES_PERCENT = 2
"""So much of any speech is pauses, if only those inside of words."""
HIGHEST_RISE = 6.0
RISE_SHARE = 0.25


@dataclass(frozen=True)
class Window:
    """A stretch of audio; `sound_frames` of it are more than a pause at its end."""

    start: int
    samples: Samples
    sound_frames: int

    @property
    def frames(self) -> int:
        return len(self.samples) // FRAME

    @property
    def end(self) -> int:
        return self.start + self.frames


def cut(chunks: Iterable[Samples]) -> Iterator[Window]:
    """The windows of a stream, each as soon as it is certain; the same however the stream is chopped."""
    cutter = Cutter()
    for chunk in chunks:
        yield from cutter.push(chunk)
    yield from cutter.finish()


class Cutter:
    """Collects samples until they make a window."""

    def __init__(self) -> None:
        self._start = 0
        self._samples: Samples = np.zeros(0, np.int16)
        self._levels = np.zeros(0, np.float32)
        self._heard = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> Iterator[Window]:
        """The windows that these samples complete."""
        self._samples = np.concatenate([self._samples, samples])
        whole = len(self._samples) // FRAME
        fresh = measure_levels(self._samples[len(self._levels) * FRAME : whole * FRAME])
        self._levels = np.concatenate([self._levels, fresh])
        while len(self._levels) >= LONGEST + LOOKAHEAD:
            yield from self._take(LONGEST + LOOKAHEAD)

    def finish(self) -> Iterator[Window]:
        """The windows of what is left."""
        rest = len(self._samples) % FRAME
        if rest:
            yield from self.push(np.zeros(FRAME - rest, np.int16))
        while len(self._levels):
            yield from self._take(len(self._levels))

    def _take(self, known: int) -> Iterator[Window]:
        """Decide about the first `known` frames: the end of a window, or a pause that is left out."""
        levels = self._levels[:known]
        is_sound = levels > find_threshold(np.concatenate([self._heard, levels]))
        if not is_sound.any():
            self._drop(max(1, known - MARGIN) if known >= LONGEST else known)
            return
        first = int(is_sound.argmax())
        if first > MARGIN:
            self._drop(first - MARGIN)
            return
        end, resume = find_cut(levels, is_sound)
        sound = int(np.flatnonzero(is_sound[:end]).max(initial=0)) + 1
        yield Window(self._start, self._samples[: end * FRAME].copy(), sound)
        self._drop(resume)

    def _drop(self, frames: int) -> None:
        self._heard = np.concatenate([self._heard, self._levels[:frames]])[-MEMORY:]
        self._start += frames
        self._samples, self._levels = self._samples[frames * FRAME :], self._levels[frames:]


def measure_levels(samples: Samples) -> NDArray[np.float32]:
    """Decibels of full scale, a frame each; low hum and a constant offset count for little."""
    frames = samples.reshape(-1, FRAME).astype(np.float32) / 32768
    power = np.square(frames[:, 1:] - 0.95 * frames[:, :-1]).mean(axis=1)
    levels: NDArray[np.float32] = 10 * np.log10(power + 1e-10)
    return levels


def find_threshold(levels: NDArray[np.float32]) -> float:
    """The level above which a frame is more than a pause."""
    soft, loud = np.percentile(levels, [PAUSES_PERCENT, 95])
    return max(SOFTEST, float(soft + min(HIGHEST_RISE, RISE_SHARE * (loud - soft))))


def find_cut(levels: NDArray[np.float32], is_sound: NDArray[np.bool_]) -> tuple[int, int]:
    """Where the window that begins here ends, and where the next one may begin."""
    pauses = find_pauses(is_sound)
    for begin, end in pauses:
        if end - begin >= LONG_PAUSE and begin + MARGIN <= LONGEST:
            return begin + MARGIN, max(begin + MARGIN, end - MARGIN)
    if len(levels) <= LONGEST:
        return len(levels), len(levels)
    fitting = [(begin, end) for begin, end in pauses if begin >= EARLIEST_CUT and (begin + end) // 2 <= LONGEST]
    if fitting:
        begin, end = fitting[-1]
        middle = (begin + end) // 2
        return min(begin + MARGIN, middle), max(end - MARGIN, middle)
    smooth = np.convolve(levels[:LONGEST], np.ones(SMOOTHING) / SMOOTHING, mode="same")
    middle = EARLIEST_FORCED_CUT + int(smooth[EARLIEST_FORCED_CUT : LONGEST - SMOOTHING].argmin())
    return middle, middle


def find_pauses(is_sound: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end of the pauses that are long enough to cut in."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], is_sound, [True]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2) if end - begin >= SHORTEST_PAUSE]
