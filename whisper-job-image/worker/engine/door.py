"""The engine that the pipeline sees: one loaded model, and the two ways to use it. Built by `load`."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from whisper import tokenizer

from crds.transcriptionjob import EngineName
from crds.worker import WorkerTask
from worker import windows
from worker.checkpoint import Checkpoints, State
from worker.cpu import count_cpus
from worker.engine import gpu, language, sequential
from worker.engine.batched import Batched, Encoder, WindowResult
from worker.engine.decoding import Decoder, Request
from worker.engine.faults import translated_faults
from worker.engine.loading import find_checkpoint, load_model
from worker.engine.mel import to_wave
from worker.errors import InvalidTaskError
from worker.quality import find_flags
from worker.windows import Window

CHUNK_SAMPLES = 60 * 16000
MOST_WINDOWS = {"cpu": 8, "cuda": 64}
MEMORY_SHARE = {"cpu": 0.25, "cuda": 0.4}
"""Of what is free; a GPU keeps the memory of up to three batches."""
SAMPLES_PER_SECOND = 16000

logger = logging.getLogger(__name__)

Transcript = dict[str, Any]


def _ignore(_: str) -> None:
    """No one wants to know."""


class _Hooks(NamedTuple):
    """Whom a run tells what."""

    on_progress: Callable[[float], None]
    on_note: Callable[[str], None]
    checkpoints: Checkpoints | None

    def load(self) -> list[WindowResult]:
        """The windows that an earlier pod has done."""
        state = self.checkpoints.load("windows") if self.checkpoints else None
        return [WindowResult(*window) for window in state.engine["windows"]] if state else []

    def save(self, seconds: float, results: Sequence[WindowResult]) -> None:
        """Keep the windows done."""
        if self.checkpoints:
            done = [(result.start, result.end, result.segments) for result in results]
            self.checkpoints.save(State(seconds, [], {"windows": done}))


class Engine:
    """One loaded model on the best device there is."""

    def __init__(self, model: Any, batch_size: int | None = None, identity: str = "") -> None:
        self._model = model
        self.identity = identity
        self._dtype = gpu.find_dtype(model.device)
        self._loop = gpu.choose_loop(model.device)
        self._batch_size = batch_size

    def transcribe(
        self,
        samples: bytearray,
        task: WorkerTask,
        on_progress: Callable[[float], None],
        on_note: Callable[[str], None] = _ignore,
        checkpoints: Checkpoints | None = None,
    ) -> Transcript:
        """Whisper's result; `on_progress` hears the seconds done, `on_note` what a person should know.

        With `checkpoints` it goes on where an earlier pod was stopped.
        """
        _check_languages(task)
        began_at, audio_seconds = time.perf_counter(), len(samples) / 2 / SAMPLES_PER_SECOND
        way = self._transcribe_batched if self._is_batched(task.engine) else self._transcribe_in_order
        with translated_faults():
            transcript = way(samples, task, _Hooks(on_progress, on_note, checkpoints))
        figures = transcript["figures"]
        seconds = time.perf_counter() - began_at
        figures["audio_seconds"] = round(audio_seconds, 2)
        figures["realtime_factor"] = round(audio_seconds / seconds, 2)
        figures["peak_memory_bytes"] = gpu.find_peak_bytes(self._model.device)
        figures["device"] = self._model.device.type
        logger.info("transcribed", extra={"figures": figures})
        return transcript

    def _is_batched(self, asked: EngineName) -> bool:
        """`auto` is whisper's own way on a GPU until batched has run on one."""
        return asked == "batched" or (asked == "auto" and self._model.device.type == "cpu")

    def _transcribe_batched(self, samples: bytearray, task: WorkerTask, hooks: "_Hooks") -> Transcript:
        found = list(windows.cut(_chop(samples)))
        end = len(samples) / 2 / SAMPLES_PER_SECOND
        samples.clear()
        run = self.open(task, language.spread(found))
        run.on_note = hooks.on_note
        results = hooks.load()
        for result in run.run(found[len(results) :]):
            results.append(result)
            seconds = min(end, result.end * windows.FRAME / SAMPLES_PER_SECOND)
            hooks.save(seconds, results)
            hooks.on_progress(seconds)
        hooks.on_progress(end)
        return run.assemble(results)

    def open(self, task: WorkerTask, places: Sequence[Window]) -> "Run":
        """A run of the batched engine. Where the language is not told, it is found from some windows of the file."""
        encoder = Encoder(self._model, self._dtype)
        told = None if task.language == "auto" else task.language
        heard: dict[str, float] = {}
        if told is None and self._model.is_multilingual and places:
            heard = language.detect(self._model, encoder, places)
        chosen = told or (language.choose(heard, task.language_options or ()) if heard else "en")
        decoder = Decoder(self._model, self._loop, Request(chosen, task.task, task.initial_prompt), self._dtype)
        size = self._batch_size or choose_batch_size(self._model.dims, self._model.device, self._dtype)
        return Run(self._model, decoder, encoder, size, task.word_timestamps, told is not None, heard)

    def _transcribe_in_order(self, samples: bytearray, task: WorkerTask, hooks: "_Hooks") -> Transcript:
        began_at = time.perf_counter()
        options = {
            "language": self._choose_in_order(task, samples),
            "task": task.task,
            "word_timestamps": task.word_timestamps,
            "initial_prompt": task.initial_prompt,
        }
        wave = to_wave(np.frombuffer(samples, dtype="<i2"))
        samples.clear()
        transcript = sequential.transcribe(self._model, wave, options, hooks.on_progress, hooks.checkpoints)
        for segment in transcript["segments"]:
            if flags := find_flags(segment):
                segment["flags"] = flags
        seconds = {"transcribe": round(time.perf_counter() - began_at, 3)}
        return transcript | {"figures": {"engine": "quality", "seconds": seconds}}

    def _choose_in_order(self, task: WorkerTask, samples: bytearray) -> str | None:
        """Whisper listens to the first 30 s alone, and to no options."""
        if task.language not in {None, "auto"} or not self._model.is_multilingual:
            return None if task.language == "auto" else task.language
        places = language.spread(list(windows.cut(_chop(samples))))
        heard = language.detect(self._model, Encoder(self._model, self._dtype), places) if places else {}
        return language.choose(heard, task.language_options or ()) if heard else None


class Run(Batched):
    """One file: a batched run that knows what it is about, and puts its windows together."""

    def __init__(
        self,
        model: Any,
        decoder: Decoder,
        encoder: Encoder,
        size: int,
        words: bool,
        is_told: bool,
        heard: dict[str, float],
    ) -> None:
        super().__init__(model, decoder, encoder, size, words)
        self.is_language_known, self.heard = is_told, heard

    def assemble(self, results: Sequence[WindowResult]) -> Transcript:
        """The result of the file, from those of its windows."""
        segments = [
            {"id": number, **segment}
            for number, segment in enumerate(segment for result in results for segment in result.segments)
        ]
        tokenizer = self._decoder.tokenizer
        transcript = {
            "text": tokenizer.decode([token for segment in segments for token in segment["tokens"]]),
            "segments": segments,
            "language": tokenizer.language or "en",  # models of English alone have no word for it
        }
        if self.heard:
            transcript["language_probability"] = round(self.heard[tokenizer.language], 4)
        figures = {
            "engine": "batched",
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.figures.seconds.items()},
            "batch_sizes": {str(size): count for size, count in sorted(self.figures.batch_sizes.items())},
            "notes": self.figures.notes,
        }
        return transcript | {"figures": figures}


def load(name: str, model_dir: Path, download_dir: Path | None) -> Engine:
    """A file of `model_dir`, a path, or, where there is a folder for it, a model that whisper itself can download."""
    torch.set_num_threads(count_cpus())
    path = find_checkpoint(name, model_dir, download_dir)
    with translated_faults():
        model = load_model(path, name, gpu.find_device())
    logger.info("model loaded", extra={"model": name, "device": str(model.device), "threads": torch.get_num_threads()})
    identity = f"openai-whisper {whisper.__version__}, {path.stat().st_size} bytes, {model.device.type}"
    return Engine(model, identity=identity)


def choose_batch_size(dims: Any, device: torch.device, dtype: Any) -> int:
    """As many windows at once as are any use, or as fit into a share of the free memory."""
    width = 2 if dtype == torch.float16 else 4
    caches = 2 * dims.n_text_layer * dims.n_text_state * (dims.n_audio_ctx + dims.n_text_ctx)
    work = 12 * dims.n_audio_ctx * dims.n_audio_state
    bytes_a_window = width * (caches + work) + 16 * dims.n_vocab
    fitting = MEMORY_SHARE[device.type] * gpu.find_free_bytes(device) / bytes_a_window
    return max(1, min(MOST_WINDOWS[device.type], int(fitting)))


def _check_languages(task: WorkerTask) -> None:
    for code in (task.language, *(task.language_options or ())):
        if code not in {None, "auto", *tokenizer.LANGUAGES}:
            raise InvalidTaskError(f"unknown language {code}")


def _chop(samples: bytearray) -> Iterator[NDArray[np.int16]]:
    for start in range(0, len(samples), 2 * CHUNK_SAMPLES):
        yield np.frombuffer(samples[start : start + 2 * CHUNK_SAMPLES], dtype="<i2")
