"""A window's tokens as whisper's segments. Pure; called by the batched engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.quality import SECONDS_PER_STAMP, Decoded

FRAMES_PER_SECOND = 100
FRAMES_PER_STAMP = 2


@dataclass(frozen=True)
class Piece:
    """A stretch of audio that is decoded at once, in whisper's frames of 10 ms from the start of the file."""

    seek: int
    frames: int

    @property
    def start_seconds(self) -> float:
        return self.seek / FRAMES_PER_SECOND


@dataclass(frozen=True)
class Cut:
    """The segments of a piece, and the frames that are done: less than all where a sentence was left unfinished."""

    segments: list[dict[str, Any]]
    done_frames: int
    is_closed: bool


def cut_segments(piece: Piece, found: Decoded, first_stamp: int) -> Cut:
    """Whisper's segments, without their texts: a segment ends where two timestamps follow each other."""
    tokens = list(found.tokens)
    is_stamp = [token >= first_stamp for token in tokens]
    ends = [i + 1 for i in range(len(tokens) - 1) if is_stamp[i] and is_stamp[i + 1]]
    is_closed = is_stamp[-2:] == [False, True]
    if not ends:
        return Cut([_build(piece, found, 0.0, _find_end(piece, tokens, first_stamp), tokens)], piece.frames, is_closed)
    if is_closed:
        ends.append(len(tokens))
    segments = []
    for begin, end in zip([0, *ends], ends, strict=False):
        part = tokens[begin:end]
        times = [(part[i] - first_stamp) * SECONDS_PER_STAMP for i in (0, -1)]
        segments.append(_build(piece, found, times[0], times[1], part))
    last = (tokens[ends[-1] - 1] - first_stamp) * FRAMES_PER_STAMP
    return Cut(segments, piece.frames if is_closed else last, is_closed)


def _find_end(piece: Piece, tokens: Sequence[int], first_stamp: int) -> float:
    stamps = [token for token in tokens if token >= first_stamp]
    if stamps and stamps[-1] != first_stamp:
        return (stamps[-1] - first_stamp) * SECONDS_PER_STAMP
    return piece.frames / FRAMES_PER_SECOND


def _build(piece: Piece, found: Decoded, start: float, end: float, tokens: list[int]) -> dict[str, Any]:
    return {
        "seek": piece.seek,
        "start": piece.start_seconds + start,
        "end": piece.start_seconds + end,
        "text": "",
        "tokens": tokens,
        "temperature": found.temperature,
        "avg_logprob": found.avg_logprob,
        "compression_ratio": found.compression_ratio,
        "no_speech_prob": found.no_speech_prob,
    }


def spans_of(segments: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Where each begins and ends, in seconds, before the alignment of words moves that."""
    return [(segment["start"], segment["end"]) for segment in segments]


def restore_times(segments: Sequence[dict[str, Any]], spans: Sequence[tuple[float, float]]) -> None:
    """Give a segment whose words have got no time at all its own again, and each word a share of it by its length.

    Whisper's alignment may lose its way and put all words of a sentence into one moment; what is said there would
    then be dropped as a segment of no length.
    """
    for segment, (start, end) in zip(segments, spans, strict=True):
        words = segment.get("words")
        if words and segment["start"] >= segment["end"] and start < end:
            segment["start"], segment["end"] = start, end
            _share_out(words, start, end)


def _share_out(words: Sequence[dict[str, Any]], start: float, end: float) -> None:
    a_letter = (end - start) / sum(len(word["word"]) for word in words)
    for word in words:
        word["start"] = round(start, 2)
        start += a_letter * len(word["word"])
        word["end"] = round(start, 2)


def clear_empty(segments: Sequence[dict[str, Any]]) -> None:
    """As whisper does: a segment of no length or no text says nothing."""
    for segment in segments:
        if segment["start"] == segment["end"] or not segment["text"].strip():
            segment.update(text="", tokens=[], words=[])
