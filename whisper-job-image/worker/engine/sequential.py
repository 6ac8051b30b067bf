"""Whisper's own way, window after window, each with the text before it. Called by `engine.door` for `quality`."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from whisper import audio

from worker.engine.mel import measure_long


def transcribe(
    model: Any, wave: NDArray[np.float32], options: dict[str, Any], on_progress: Callable[[float], None]
) -> dict[str, Any]:
    """Whisper's result; `on_progress` hears the seconds done, window by window."""
    with _watched(model, on_progress):
        result = model.transcribe(wave, fp16=model.device.type == "cuda", **options)
    plain: dict[str, Any] = to_plain(result)
    return plain


class _Meter:
    """Counts the mel frames done. It stands in for whisper's progress bar, which leaves out silent windows."""

    def __init__(self, on_progress: Callable[[float], None]) -> None:
        self._on_progress = on_progress
        self._frames = 0
        self._is_window_open = False

    def begin_window(self) -> None:
        """A window that begins before the last one was counted: that one was skipped, whole, as silence."""
        if self._is_window_open:
            self._count(audio.N_FRAMES)
        self._is_window_open = True

    def update(self, frames: int) -> None:
        self._is_window_open = False
        self._count(frames)

    def _count(self, frames: int) -> None:
        self._frames += frames
        self._on_progress(self._frames / audio.FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass


@contextmanager
def _watched(model: Any, on_progress: Callable[[float], None]) -> Iterator[None]:
    """Whisper has no hooks: its bar, decode step and spectrogram are replaced for the length of one call."""
    module: Any = importlib.import_module("whisper.transcribe")
    bars, measure, decode, meter = module.tqdm, module.log_mel_spectrogram, model.decode, _Meter(on_progress)

    def decode_window(mel: Any, options: Any) -> Any:
        if options.temperature == 0:  # higher ones try the same window again
            meter.begin_window()
        return decode(mel, options)

    module.tqdm, model.decode = SimpleNamespace(tqdm=lambda **_: meter), decode_window
    module.log_mel_spectrogram = measure_long
    try:
        yield
    finally:
        module.tqdm, module.log_mel_spectrogram = bars, measure
        del model.decode


def to_plain(value: Any) -> Any:
    """Python's own types, which numpy's scalars in word times are not."""
    match value:
        case dict():
            return {key: to_plain(item) for key, item in value.items()}
        case list():
            return [to_plain(item) for item in value]
        case np.generic():
            return value.item()
    return value
