"""The engine that the pipeline sees: one loaded model, and the two ways to use it. Built by `load`."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import whisper
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
from worker.errors import InvalidTaskError
from worker.quality import find_flags
from worker.sound import SAMPLES_PER_SECOND, Sound
from worker.windows import Window

MOST_WINDOWS = {"cpu": 8, "cuda": 64}
MEMORY_SHARE = {"cpu": 0.25, "cuda": 0.4}
"""Of what is free; a GPU keeps the memory of up to three batches."""

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


class _Span(NamedTuple):
    """A window without what it holds, in frames."""

    start: int
    frames: int
    sound_frames: int

    def read(self, sound: Sound) -> Window:
        """The window; the last one may end in the middle of a frame, which silence fills up."""
        size = self.frames * windows.FRAME
        samples = np.frombuffer(sound.read_samples(self.start * windows.FRAME, size), dtype="<i2")
        return Window(self.start, np.pad(samples, (0, size - len(samples))), self.sound_frames)


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
        sound: Sound,
        task: WorkerTask,
        on_progress: Callable[[float], None],
        on_note: Callable[[str], None] = _ignore,
        checkpoints: Checkpoints | None = None,
    ) -> Transcript:
        """Whisper's result; `on_progress` hears the seconds done, `on_note` what a person should know.

        The sound may still be coming: progress begins with its first window, and its error ends the run.
        With `checkpoints` it goes on where an earlier pod was stopped.
        """
        _check_languages(task)
        began_at = time.perf_counter()
        way = self._transcribe_batched if self._is_batched(task.engine) else self._transcribe_in_order
        with translated_faults():
            transcript = way(sound, task, _Hooks(on_progress, on_note, checkpoints))
        figures = transcript["figures"]
        seconds = time.perf_counter() - began_at
        figures["audio_seconds"] = round(sound.seconds, 2)
        figures["realtime_factor"] = round(sound.seconds / seconds, 2)
        figures["peak_memory_bytes"] = gpu.find_peak_bytes(self._model.device)
        figures["device"] = self._model.device.type
        logger.info("transcribed", extra={"figures": figures})
        return transcript

    def _is_batched(self, asked: EngineName) -> bool:
        """`auto` is whisper's own way on a GPU until batched has run on one."""
        return asked == "batched" or (asked == "auto" and self._model.device.type == "cpu")

    def _is_heard(self, task: WorkerTask) -> bool:
        """Whether the language is to be found in the sound."""
        return task.language in {None, "auto"} and self._model.is_multilingual

    def _transcribe_batched(self, sound: Sound, task: WorkerTask, hooks: "_Hooks") -> Transcript:
        places, found = _find_places(sound) if self._is_heard(task) else ([], _cut(sound))
        run = self.open(task, places)
        run.on_note = hooks.on_note
        results = hooks.load()
        for result in run.run(_announced(islice(found, len(results), None), hooks)):
            results.append(result)
            seconds = min(sound.seconds, result.end * windows.FRAME / SAMPLES_PER_SECOND)
            hooks.save(seconds, results)
            hooks.on_progress(seconds)
        hooks.on_progress(sound.seconds)
        return run.assemble(results)

    def open(self, task: WorkerTask, places: Sequence[Window]) -> "Run":
        """A run of the batched engine. Where the language is not told, it is found from some windows of the file."""
        encoder = Encoder(self._model, self._dtype)
        told = None if task.language == "auto" else task.language
        heard: dict[str, float] = {}
        if self._is_heard(task) and places:
            heard = language.detect(self._model, encoder, places)
        chosen = told or (language.choose(heard, task.language_options or ()) if heard else "en")
        decoder = Decoder(self._model, self._loop, Request(chosen, task.task, task.initial_prompt), self._dtype)
        size = self._batch_size or choose_batch_size(self._model.dims, self._model.device, self._dtype)
        return Run(self._model, decoder, encoder, size, task.word_timestamps, told is not None, heard)

    def _transcribe_in_order(self, sound: Sound, task: WorkerTask, hooks: "_Hooks") -> Transcript:
        began_at = time.perf_counter()
        options = {
            "language": self._choose_in_order(task, sound),
            "task": task.task,
            "word_timestamps": task.word_timestamps,
            "initial_prompt": task.initial_prompt,
        }
        transcript = sequential.transcribe(self._model, sound, options, hooks.on_progress, hooks.checkpoints)
        for segment in transcript["segments"]:
            if flags := find_flags(segment):
                segment["flags"] = flags
        seconds = {"transcribe": round(time.perf_counter() - began_at, 3)}
        return transcript | {"figures": {"engine": "quality", "seconds": seconds}}

    def _choose_in_order(self, task: WorkerTask, sound: Sound) -> str | None:
        """Whisper listens to the first 30 s alone, and to no options."""
        if not self._is_heard(task):
            return None if task.language == "auto" else task.language
        places, _ = _find_places(sound)
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


def _cut(sound: Sound) -> Iterator[Window]:
    return windows.cut(np.frombuffer(chunk, dtype="<i2") for chunk in sound.chunks())


def _find_places(sound: Sound) -> tuple[list[Window], Iterator[Window]]:
    """Windows from all over the file, and all of them: what they hold is read a second time and never kept."""
    spans = [_Span(window.start, window.frames, window.sound_frames) for window in _cut(sound)]
    return [span.read(sound) for span in language.spread(spans)], (span.read(sound) for span in spans)


def _announced(found: Iterator[Window], hooks: _Hooks) -> Iterator[Window]:
    """The same windows; progress begins with the first."""
    for number, window in enumerate(found):
        if number == 0:
            hooks.on_progress(0.0)
        yield window
