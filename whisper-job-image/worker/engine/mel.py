"""Whisper's spectrograms: of windows on the model's device, of long audio in a file. Called by the engines."""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from whisper import audio

from worker.sound import SAMPLE_BYTES, Sound

FULL_SCALE = 32768.0
PIECE_FRAMES = 60_000
CONTEXT_SAMPLES = 2 * audio.HOP_LENGTH
"""Whole frames, and more than the half window that a frame sees on either side."""


def to_wave(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Samples as whisper has them: from -1 to 1."""
    wave: NDArray[np.float32] = samples.astype(np.float32)
    wave /= FULL_SCALE
    return wave


def measure_windows(windows: Sequence[NDArray[np.int16]], n_mels: int, device: torch.device, dtype: Any) -> Any:
    """What whisper's `transcribe` would decode if each window were a file: (windows, n_mels, 3000)."""
    mels = torch.zeros((len(windows), n_mels, audio.N_FRAMES), device=device, dtype=dtype)
    for row, samples in zip(mels, windows, strict=True):
        frames = len(samples) // audio.HOP_LENGTH
        wave = torch.from_numpy(samples).to(device).float() / FULL_SCALE
        # transcribe pads 30 s, of which the frames of the window see no more than this
        found = audio.log_mel_spectrogram(wave, n_mels, padding=CONTEXT_SAMPLES + audio.N_FFT)
        row[:, :frames] = found[:, :frames]
    return mels


def shift(mel: Any, frames: int, length: int) -> Any:
    """The rest of a window whose first `frames` are done, as whisper cuts it out: `length` frames, then nothing."""
    rest = mel[:, frames : frames + length]
    return functional.pad(rest, (0, audio.N_FRAMES - rest.shape[1]))


class LongMel:
    """Whisper's log_mel_spectrogram of long audio, in a file: in memory, four hours would take half a gigabyte.

    It is made in pieces of ten minutes, which gives whisper's numbers to the last bit.
    """

    def __init__(self, sound: Sound, n_mels: int, padding: int) -> None:
        self._sound, self._padding = sound, padding
        self._samples = sound.wait() // SAMPLE_BYTES
        path = sound.path.with_suffix(".mel")
        shape = (n_mels, (self._samples + padding) // audio.HOP_LENGTH)
        self._memory: Any = np.memmap(path, np.float32, "w+", shape=shape)
        path.unlink()
        self.tensor = torch.from_numpy(self._memory)
        self._measure()

    def forget(self) -> None:
        """Give back the memory of what was read and written; the file keeps it."""
        self._memory._mmap.madvise(mmap.MADV_DONTNEED)  # noqa: SLF001  # numpy has no word for it

    def _measure(self) -> None:
        size, loudest = PIECE_FRAMES * audio.HOP_LENGTH, -torch.inf
        for start in range(0, max(1, self._samples - CONTEXT_SAMPLES), size):
            piece = self._measure_piece(start, size)
            place = self.tensor[:, start // audio.HOP_LENGTH :][:, : piece.shape[1]]
            place.copy_(piece)
            loudest = max(loudest, float(piece.max()))
            self.forget()
        # whisper lifts what is far below the loudest frame; each piece has done so by its own loudest
        for piece in self.tensor.split(PIECE_FRAMES, dim=1):
            piece.clamp_(min=loudest - 2.0)
            self.forget()

    def _measure_piece(self, start: int, size: int) -> Any:
        is_last = start + size + CONTEXT_SAMPLES >= self._samples
        before = min(start, CONTEXT_SAMPLES)
        end = self._samples if is_last else start + size + CONTEXT_SAMPLES
        samples = self._sound.read_samples(start - before, end - start + before)
        wave = to_wave(np.frombuffer(samples, dtype="<i2"))
        found = audio.log_mel_spectrogram(wave, self.tensor.shape[0], padding=self._padding if is_last else 0)
        return found[:, before // audio.HOP_LENGTH :][:, : None if is_last else PIECE_FRAMES]
