"""The only door to torch and whisper: samples in, Whisper's own result out.

Opened late by `process`, called by the pipeline.
"""

import importlib
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
import torch
import whisper
from whisper import audio, tokenizer

from crds.worker import WorkerTask
from worker.checkpoint import Checkpoints
from worker.continuation import Continuation
from worker.cpu import count_cpus
from worker.errors import (
    GpuFaultError,
    GpuOutOfMemoryError,
    InvalidTaskError,
    ModelUnavailableError,
    ModelUnknownError,
    OutOfMemoryError,
)

FULL_SCALE = 32768.0
PIECE_FRAMES = 60_000
CONTEXT_SAMPLES = 2 * audio.HOP_LENGTH
"""Whole frames, and more than the half window that a frame sees on either side."""

logger = logging.getLogger(__name__)


class Engine:
    """One loaded model on the best device there is."""

    def __init__(self, model: Any, identity: str = "") -> None:
        self._model = model
        self.identity = identity

    def transcribe(
        self, samples: bytearray, task: WorkerTask, on_progress: Callable[[float], None], checkpoints: Checkpoints
    ) -> dict[str, Any]:
        """Whisper's result; `on_progress` hears the seconds done, window by window, of this and of earlier pods."""
        if task.language not in {None, "auto", *tokenizer.LANGUAGES}:
            raise InvalidTaskError(f"unknown language {task.language}")
        wave = np.frombuffer(samples, dtype="<i2").astype(np.float32)
        samples.clear()
        wave /= FULL_SCALE
        continuation = Continuation(checkpoints, _plain)
        options = {
            "language": None if task.language == "auto" else task.language,
            "task": task.task,
            "word_timestamps": task.word_timestamps,
            "initial_prompt": task.initial_prompt,
            "fp16": self._model.device.type == "cuda",
        }
        with _translated_faults(), _watched(self._model, _Meter(on_progress, continuation), continuation):
            result = self._model.transcribe(wave, **continuation.change(options))
        plain: dict[str, Any] = _plain(continuation.join(result, self._decoder_of(task)))
        return plain

    def _decoder_of(self, task: WorkerTask) -> Callable[[list[int]], str]:
        model = self._model
        found = tokenizer.get_tokenizer(model.is_multilingual, num_languages=model.num_languages, task=task.task)
        decode: Callable[[list[int]], str] = found.decode
        return decode


def load(name: str, model_dir: Path, download_dir: Path) -> Engine:
    """A file of `model_dir`, a path, or a model that whisper itself can download."""
    torch.set_num_threads(count_cpus())
    path = Path(name) if "/" in name else model_dir / f"{name}.pt"
    if not path.is_file() and name not in whisper.available_models():
        raise ModelUnknownError(name)
    try:
        with _translated_faults():
            model = whisper.load_model(str(path) if path.is_file() else name, download_root=str(download_dir))
            _set_alignment_heads(model, name)
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise ModelUnavailableError(repr(error)) from error
    logger.info("model loaded", extra={"model": name, "device": str(model.device), "threads": torch.get_num_threads()})
    size = path.stat().st_size if path.is_file() else 0
    return Engine(model, f"openai-whisper {whisper.__version__}, {size} bytes, {model.device.type}")


def _set_alignment_heads(model: Any, name: str) -> None:
    # whisper sets them for downloads only, and word times of a known model are worse without
    heads = whisper._ALIGNMENT_HEADS.get(name)  # noqa: SLF001
    if heads is not None:
        model.set_alignment_heads(heads)


@contextmanager
def _translated_faults() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GpuOutOfMemoryError(str(error)) from error
    except torch.AcceleratorError as error:
        raise GpuFaultError(str(error)) from error
    except RuntimeError as error:
        if any(sign in str(error) for sign in ("CUDA", "cuDNN", "CUBLAS", "NVML")):
            raise GpuFaultError(str(error)) from error
        if "DefaultCPUAllocator" in str(error):
            raise OutOfMemoryError(str(error)) from error
        raise


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
        if self.temperature > 0.5:
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
def _watched(model: Any, meter: _Meter, continuation: Continuation) -> Iterator[None]:
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

    def time_words_on(*, last_speech_timestamp: float, **others: Any) -> None:
        time_words(last_speech_timestamp=continuation.find_last_speech(last_speech_timestamp), **others)

    module.tqdm, model.decode = SimpleNamespace(tqdm=lambda **_: meter), decode_window
    module.log_mel_spectrogram, module.add_word_timestamps = _measure_mel, time_words_on
    try:
        yield
    finally:
        module.tqdm, module.log_mel_spectrogram, module.add_word_timestamps = bars, measure, time_words
        del model.decode


def _measure_mel(wave: Any, n_mels: int, padding: int) -> Any:
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


def _plain(value: Any) -> Any:
    """Python's own types, which numpy's scalars in word times are not."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case np.generic():
            return value.item()
    return value
