"""Whisper's spectrograms: of windows on the model's device, of long audio in pieces. Called by the engines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from whisper import audio

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


def measure_long(wave: Any, n_mels: int, padding: int) -> Any:
    """Whisper's log_mel_spectrogram in pieces of ten minutes: the whole at once takes half a megabyte a second."""
    mel = torch.empty((n_mels, (len(wave) + padding) // audio.HOP_LENGTH))
    size = PIECE_FRAMES * audio.HOP_LENGTH
    for start in range(0, max(1, len(wave) - CONTEXT_SAMPLES), size):
        is_last = start + size + CONTEXT_SAMPLES >= len(wave)
        before, after = min(start, CONTEXT_SAMPLES), None if is_last else start + size + CONTEXT_SAMPLES
        found = audio.log_mel_spectrogram(wave[start - before : after], n_mels, padding=padding if is_last else 0)
        place = mel[:, start // audio.HOP_LENGTH :][:, : None if is_last else PIECE_FRAMES]
        place.copy_(found[:, before // audio.HOP_LENGTH :][:, : place.shape[1]])
    # whisper lifts what is far below the loudest frame; each piece has done so by its own loudest
    return mel.clamp_(min=float(mel.max()) - 2.0)
