"""Cuts in long audio."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from worker.windows import FRAME, LONGEST, Window, cut

RATE = 16000


def sound(seconds: float, loudness: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(int(seconds * RATE)) * loudness * 32767).clip(-32768, 32767).astype(np.int16)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.int16)


def sentences(pairs: list[tuple[float, float]], hiss: float = 0.0) -> np.ndarray:
    """Seconds of speech and of the pause after it, over and over."""
    whole = np.concatenate([part for a, b in pairs for part in (sound(a), silence(b))])
    return whole + sound(len(whole) / RATE, hiss, 9)[: len(whole)] if hiss else whole


def chopped(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def spans(found: list[Window]) -> list[tuple[float, float]]:
    return [(window.start / 100, window.end / 100) for window in found]


@pytest.mark.parametrize("hiss", [0.0, 0.001])
def test_windows_end_in_pauses(hiss: float) -> None:
    audio = sentences([(7, 0.6)] * 20, hiss)
    found = list(cut([audio]))
    for _, end in spans(found)[:-1]:
        assert 7.0 < end % 7.6 <= 7.6, "inside the pause"
    assert all(2000 < window.frames <= LONGEST for window in found[:-1])


def test_no_speech_is_lost() -> None:
    audio = sentences([(4, 0.4), (11, 2.0), (26, 0.35), (3, 9.0), (40, 1.0)] * 3, hiss=0.0005)
    found = list(cut([audio]))
    kept = np.zeros(len(audio) // FRAME + 1, bool)
    for window in found:
        assert not kept[window.start : window.end].any(), "windows do not overlap"
        kept[window.start : window.end] = True
    levels = np.abs(audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)).mean(axis=1)
    assert kept[:-1][levels > 1000].all()


def test_the_windows_are_the_same_however_the_stream_is_chopped() -> None:
    audio = sentences([(5, 0.5), (12, 1.5), (33, 0.4), (2, 40.0)] * 2, hiss=0.0003)
    wanted = list(cut([audio]))
    for size in (777, 16000, 500_000):
        found = list(cut(chopped(audio, size)))
        assert spans(found) == spans(wanted)
        assert all((a.samples == b.samples).all() for a, b in zip(found, wanted, strict=True))


def test_long_silence_is_left_out() -> None:
    audio = np.concatenate([silence(100), sound(3), silence(200), sound(3), silence(70)])
    assert spans(list(cut([audio]))) == [(99.75, 103.25), (302.75, 306.25)]


def test_speech_without_pauses_is_cut_where_it_is_softest() -> None:
    audio = sound(70)
    audio[26 * RATE : int(26.2 * RATE)] //= 8
    first, *rest = list(cut([audio]))
    assert 26.0 <= first.end / 100 <= 26.2
    assert all(before.end == after.start for before, after in pairwise([first, *rest]))


def test_samples_are_those_of_the_file() -> None:
    audio = sentences([(9, 0.8)] * 8, hiss=0.001)
    for window in cut([audio]):
        begin = window.start * FRAME
        assert (audio[begin : begin + len(window.samples)] == window.samples[: len(audio) - begin]).all()


@pytest.mark.parametrize("audio", [silence(0), silence(0.001), silence(95)], ids=["nothing", "a click", "silence"])
def test_there_are_no_windows_without_sound(audio: np.ndarray) -> None:
    assert list(cut([audio])) == []


def test_a_soft_speaker_after_a_loud_one_is_kept() -> None:
    audio = np.concatenate([sentences([(5, 0.5)] * 4), sentences([(5, 0.5)] * 4) // 30]) + sound(44, 0.0002, 4)
    assert sum(window.frames for window in cut([audio])) > 4200
