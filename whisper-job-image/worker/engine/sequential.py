"""Whisper's own way, window after window, each with the text before it. Called by `engine.door` for `quality`."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
import torch
from whisper import audio, tokenizer

from worker.checkpoint import Checkpoints
from worker.continuation import Continuation
from worker.engine.mel import LongMel
from worker.segments import restore_times, spans_of
from worker.sound import Sound

UNSURE = 0.5
"""Above this temperature whisper does not tell the next window what was said."""


def transcribe(
    model: Any,
    sound: Sound,
    options: dict[str, Any],
    on_progress: Callable[[float], None],
    checkpoints: Checkpoints | None,
) -> dict[str, Any]:
    """Whisper's result; `on_progress` hears the seconds done, of earlier pods first, then window by window."""
    continuation = Continuation(checkpoints, to_plain)
    mel = LongMel(sound, model.dims.n_mels, audio.N_SAMPLES)

    def hear(seconds: float) -> None:
        mel.forget()
        on_progress(seconds)

    on_progress(continuation.first_frame / audio.FRAMES_PER_SECOND)
    with _watched(model, _Meter(hear, continuation), continuation, mel.tensor):
        result = model.transcribe(mel.tensor, fp16=model.device.type == "cuda", **continuation.change(options))
    words = tokenizer.get_tokenizer(model.is_multilingual, num_languages=model.num_languages, task=options["task"])
    plain: dict[str, Any] = to_plain(continuation.join(result, words.decode))
    return plain


class _Meter:
    """Counts the mel frames done. It stands in for whisper's progress bar, which leaves out silent windows."""

    def __init__(self, on_progress: Callable[[float], None], continuation: Continuation) -> None:
        self._on_progress = on_progress
        self._continuation = continuation
        self._frames = continuation.first_frame
        self.temperature = 0.0
        self._is_window_open = False

    def begin_window(self) -> None:
        """A window that begins before the last one was counted: that one was skipped, whole, as silence."""
        if self._is_window_open:
            self._count(audio.N_FRAMES)
        self._is_window_open = True

    def update(self, frames: int) -> None:
        self._is_window_open = False
        if self.temperature > UNSURE:
            self._continuation.forget_prompt()
        self._count(frames)

    def _count(self, frames: int) -> None:
        self._frames += frames
        self._on_progress(self._frames / audio.FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass


@contextmanager
def _watched(model: Any, meter: _Meter, continuation: Continuation, mel: Any) -> Iterator[None]:
    """Whisper has no hooks: its bar, decode step and spectrogram are replaced for the length of one call."""
    module: Any = importlib.import_module("whisper.transcribe")
    bars, measure, time_words, decode = (
        module.tqdm,
        module.log_mel_spectrogram,
        module.add_word_timestamps,
        model.decode,
    )

    def decode_window(mel: Any, options: Any) -> Any:
        if options.temperature == 0:  # higher ones try the same window again
            meter.begin_window()
            loop = sys._getframe(2).f_locals  # noqa: SLF001  # whisper's own, which it tells nobody
            continuation.keep(loop)
            torch.manual_seed(loop["seek"])  # so that a window draws the same lots whatever came before it
        result = decode(mel, replace(options, prompt=continuation.add_prompt(options.prompt)))
        meter.temperature = result.temperature
        return result

    def time_words_on(*, segments: list[dict[str, Any]], last_speech_timestamp: float, **others: Any) -> None:
        spans, last_end = spans_of(segments), continuation.find_last_speech(last_speech_timestamp)
        time_words(segments=segments, last_speech_timestamp=last_end, **others)
        restore_times(segments, spans)

    module.tqdm, model.decode = SimpleNamespace(tqdm=lambda **_: meter), decode_window
    module.log_mel_spectrogram, module.add_word_timestamps = lambda *_, **__: mel, time_words_on
    try:
        yield
    finally:
        module.tqdm, module.log_mel_spectrogram, module.add_word_timestamps = bars, measure, time_words
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
