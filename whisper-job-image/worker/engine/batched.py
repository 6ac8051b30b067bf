"""Many windows at a time: windows in, whisper's segments out, in order. Called by `engine.door`."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch

from worker.engine import gpu, mel
from worker.engine.decoding import Decoder
from worker.engine.faults import is_out_of_memory
from worker.engine.words import add_words
from worker.quality import Decoded, cut_loop, find_flags, is_silent
from worker.segments import Piece, clear_empty, cut_segments
from worker.windows import Window

MOST_ENCODED = {"cpu": 2, "cuda": 32}
"""Windows that go through the encoder together: more are no faster, and take memory."""

logger = logging.getLogger(__name__)


@dataclass
class Figures:
    """What a run took."""

    seconds: dict[str, float] = field(default_factory=dict)
    batch_sizes: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a person should know."""

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began_at = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began_at

    def count_batch(self, size: int) -> None:
        self.batch_sizes[size] = self.batch_sizes.get(size, 0) + 1


@dataclass(frozen=True)
class WindowResult:
    """A finished window; made of JSON's own types, so that a checkpoint can hold it."""

    start: int
    end: int
    segments: list[dict[str, Any]]


@dataclass(eq=False)
class _Job:
    """A piece of a window that is to be decoded; a window has more than one when a sentence was left unfinished."""

    window: Window
    piece: Piece
    mel: Any
    result: WindowResult
    last_end: float
    is_done: bool = False


class Encoder:
    """Whisper's encoder for many windows; it remembers those that the language was told from."""

    def __init__(self, model: Any, dtype: Any) -> None:
        self._model, self._dtype = model, dtype
        self._most = MOST_ENCODED.get(model.device.type, 1)
        self._known: dict[int, Any] = {}

    def measure(self, windows: Sequence[Window]) -> Any:
        """Spectrograms."""
        samples = [window.samples for window in windows]
        return mel.measure_windows(samples, self._model.dims.n_mels, self._model.device, self._dtype)

    def remember(self, windows: Sequence[Window], features: Any) -> None:
        """Windows that will come again."""
        self._known |= {window.start: row for window, row in zip(windows, features, strict=True)}

    def encode(self, mels: Sequence[Any], seeks: Sequence[int]) -> Any:
        """Features, a row each."""
        fresh = [i for i, seek in enumerate(seeks) if seek not in self._known]
        rows: dict[int, Any] = {i: self._known.pop(seek) for i, seek in enumerate(seeks) if seek in self._known}
        with torch.inference_mode():
            for begin in range(0, len(fresh), self._most):
                some = fresh[begin : begin + self._most]
                rows |= zip(some, self._model.encoder(torch.stack([mels[i] for i in some])), strict=True)
            return torch.stack([rows[i] for i in range(len(mels))])


class Batched:
    """One run of the batched engine."""

    def __init__(self, model: Any, decoder: Decoder, encoder: Encoder, size: int, words: bool = False) -> None:
        self._model, self._decoder, self._encoder = model, decoder, encoder
        self._size, self._words = size, words
        self.figures = Figures()
        self.is_language_known = True
        self.on_note: Callable[[str], None] = lambda _: None

    def run(self, windows: Iterable[Window]) -> Iterator[WindowResult]:
        """Each window's result, in order, as soon as it and those before it are there."""
        source = iter(windows)
        waiting: deque[_Job] = deque()
        unfinished: deque[_Job] = deque()
        while jobs := self._gather(unfinished, source, waiting):
            for job, (found, features) in zip(jobs, self._decode(jobs), strict=True):
                rest = self._read(job, found, features)
                if rest is not None:
                    unfinished.append(rest)
                    waiting[waiting.index(job)] = rest
                job.is_done = rest is None
            while waiting and waiting[0].is_done:
                yield waiting.popleft().result

    def _gather(self, unfinished: deque[_Job], source: Iterator[Window], waiting: deque[_Job]) -> list[_Job]:
        """The next batch: what is left of earlier windows, then new ones."""
        jobs = [unfinished.popleft() for _ in range(min(len(unfinished), self._size))]
        windows = list(islice(source, self._size - len(jobs)))
        if windows:
            with self.figures.timed("mel"):
                mels = self._encoder.measure(windows)
            fresh = [self._begin(window, row) for window, row in zip(windows, mels, strict=True)]
            waiting.extend(fresh)
            jobs += fresh
        return jobs

    @staticmethod
    def _begin(window: Window, row: Any) -> _Job:
        piece = Piece(window.start, window.frames)
        return _Job(window, piece, row, WindowResult(window.start, window.end, []), piece.start_seconds)

    def _decode(self, jobs: Sequence[_Job]) -> list[tuple[Decoded, Any]]:
        """Decode in one batch, or in smaller ones when memory runs out."""
        found: list[tuple[Decoded, Any]] = []
        while len(found) < len(jobs):
            some = jobs[len(found) :][: self._size]
            try:
                found += self._decode_at_once(some)
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(some) == 1:
                    raise
            self._halve(len(some))  # outside the except clause, whose traceback holds the memory of what has failed
        return found

    def _halve(self, failed: int) -> None:
        self._size = failed // 2
        self._decoder.forget()
        gpu.forget_cache(self._model.device)
        logger.warning("batch halved", extra={"windows": failed, "next": self._size})
        note = f"Memory ran out with {failed} windows at a time; going on with {self._size}."
        self.figures.notes.append(note)
        self.on_note(note)

    def _decode_at_once(self, jobs: Sequence[_Job]) -> list[tuple[Decoded, Any]]:
        seeks = [job.piece.seek for job in jobs]
        with self.figures.timed("encode"):
            features = self._encoder.encode([job.mel for job in jobs], seeks)
        with self.figures.timed("decode"):
            found = self._decoder.decode(features, seeks)
        self.figures.count_batch(len(jobs))
        return list(zip(found, features, strict=True))

    def _read(self, job: _Job, found: Decoded, features: Any) -> _Job | None:
        """Write down the segments of a piece; what is left of it, if anything is."""
        if is_silent(found):
            return None
        found, tokenizer = cut_loop(found, self._decoder.tokenizer.timestamp_begin), self._decoder.tokenizer
        cut = cut_segments(job.piece, found, tokenizer.timestamp_begin)
        for segment in cut.segments:
            segment["text"] = tokenizer.decode([token for token in segment["tokens"] if token < tokenizer.eot])
        done, last_end = cut.done_frames, None
        if self._words:
            with self.figures.timed("words"):
                last_end = add_words(self._model, tokenizer, features, job.piece.frames, cut.segments, job.last_end)
            if last_end is not None and not cut.is_closed and last_end > job.piece.start_seconds:
                done = round(last_end * 100) - job.piece.seek
        clear_empty(cut.segments)
        self._flag(cut.segments, found)
        job.result.segments.extend(cut.segments)
        return self._find_rest(job, done, last_end)

    def _flag(self, segments: Sequence[dict[str, Any]], found: Decoded) -> None:
        language = None if self.is_language_known else self._decoder.tokenizer.language
        for segment in segments:
            if flags := find_flags(segment, found, language):
                segment["flags"] = flags
            if found.guards:
                segment["guards"] = list(found.guards)

    @staticmethod
    def _find_rest(job: _Job, done: int, last_end: float | None) -> _Job | None:
        piece = job.piece
        if done >= piece.frames or piece.seek + done - job.window.start >= job.window.sound_frames:
            return None
        rest = Piece(piece.seek + done, piece.frames - done)
        return replace(job, piece=rest, mel=mel.shift(job.mel, done, rest.frames), last_end=last_end or job.last_end)
