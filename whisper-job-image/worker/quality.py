"""Which text is to be believed: whisper's measures, loops, and flags for the reader. Pure; called by the engines."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

HIGHEST_RATIO = 2.4
LOWEST_LOGPROB = -1.0
SILENT_FROM = 0.6
"""Whisper's own limits."""
SURE_FROM = 0.8
FEWEST_REPEATS = 4
FEWEST_LOOPED_TOKENS = 24
LONGEST_PERIOD = 48
MOST_TOKENS_A_SECOND = 10
"""Of quick speech in any language; a loop writes more, or gives its words no time at all."""
SECONDS_PER_STAMP = 0.02


@dataclass(frozen=True)
class Decoded:
    """What the decoder made of one window; `guards` tells what was done about a bad one."""

    tokens: tuple[int, ...]
    text: str
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    languages: Mapping[str, float] = field(default_factory=dict)
    guards: tuple[str, ...] = ()


def compute_ratio(text: str) -> float:
    """How much smaller a text becomes by compression, as whisper measures it."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def is_repetitive(found: Decoded) -> bool:
    """Too alike in itself to be speech."""
    return found.compression_ratio > HIGHEST_RATIO


def is_silent(found: Decoded) -> bool:
    """Whisper's test of a window without speech: it thinks so, and is not sure of what it wrote."""
    return found.no_speech_prob > SILENT_FROM and not found.avg_logprob > LOWEST_LOGPROB


def needs_another_try(found: Decoded) -> bool:
    """Whisper's test of a failed window."""
    is_unsure = found.avg_logprob < LOWEST_LOGPROB
    return (is_repetitive(found) or is_unsure) and not (is_unsure and found.no_speech_prob > SILENT_FROM)


def choose_better(first: Decoded, second: Decoded) -> Decoded:
    """Of two tries: the one that passes, else the one that loops less, else the likelier one."""
    chosen = max(
        first, second, key=lambda found: (not needs_another_try(found), not is_repetitive(found), found.avg_logprob)
    )
    return replace(chosen, guards=("temperature_fallback",))


def cut_loop(found: Decoded, first_stamp: int) -> Decoded:
    """Of words written over and over at the end of a text, without the time to say them, the first ones are kept."""
    if not is_repetitive(found):
        return found
    places = [i for i, token in enumerate(found.tokens) if token < first_stamp]
    kept = count_before_loop([found.tokens[i] for i in places])
    if kept == len(places):
        return found
    end = places[kept - 1] + 1
    if _has_time(found.tokens, end, first_stamp):
        return found  # somebody does say it over and over, or plays it so
    closing = found.tokens[end : end + 1]  # the timestamp after the last word kept, if there is one
    tokens = found.tokens[:end] + (closing if closing and closing[0] >= first_stamp else ())
    return replace(found, tokens=tokens, guards=(*found.guards, "loop_cut"))


def _has_time(tokens: Sequence[int], start: int, first_stamp: int) -> bool:
    """Whether all words from this token on stand between two timestamps that leave time for them."""
    words, opened_at = 0, None
    for place, token in enumerate(tokens):
        if token < first_stamp:
            words += 1
            continue
        seconds = 0.0 if opened_at is None else (token - opened_at) * SECONDS_PER_STAMP
        if place >= start and words > seconds * MOST_TOKENS_A_SECOND:
            return False
        words, opened_at = 0, token
    return words == 0


def count_before_loop(tokens: Sequence[int]) -> int:
    """How many tokens are left when the loop at the end is said once; all of them where there is no loop."""
    for period in range(1, min(LONGEST_PERIOD, len(tokens) // FEWEST_REPEATS) + 1):
        run = 0
        while run + period < len(tokens) and tokens[-1 - run] == tokens[-1 - run - period]:
            run += 1
        looped = run + period
        if looped >= max(FEWEST_REPEATS * period, FEWEST_LOOPED_TOKENS):
            return len(tokens) - looped + period
    return len(tokens)


def find_flags(segment: Mapping[str, Any], found: Decoded | None = None, language: str | None = None) -> list[str]:
    """What a reader should know of a segment; `language` is the file's, None where it was told."""
    if not segment["text"].strip():
        return []
    heard = max(found.languages, key=lambda code: found.languages[code], default=None) if found else None
    tests = {
        "no_speech_but_text": segment["no_speech_prob"] > SILENT_FROM,
        "repetition": segment["compression_ratio"] > HIGHEST_RATIO,
        "low_confidence": segment["avg_logprob"] < LOWEST_LOGPROB,
        "language_switch": bool(
            language and found and heard and heard != language and found.languages[heard] >= SURE_FROM
        ),
    }
    return [flag for flag, is_raised in tests.items() if is_raised]
