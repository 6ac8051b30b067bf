"""From Whisper's segments to what is shown at one time, and when. Pure; called by render.

Times only grow, nothing is shown for no time, and a subtitle has at most two lines of 42 columns, in which a letter of
China, Japan or Korea takes two.
"""

import math
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

SHORTEST_CUE_MS = 100
COLUMNS = 42
LINES = 2

_NEVER_FIRST = frozenset(
    "、。，．・：；？！）］｝〕〉》」』】〙〗〟’”…‥ー々〻ゝゞヽヾ"
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"
    "ะาำๅๆฯ,.:;?!)]}%"
)
_NEVER_LAST = frozenset("（［｛〔〈《「『【〘〖〝‘“([{เแโใไ")
_SYLLABIC = ("THAI", "LAO", "KHMER", "MYANMAR")
_SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")


class Cue(NamedTuple):
    """What is shown from one moment to another, line by line."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)


class _Piece(NamedTuple):
    """What no line break may divide, with the space that stands before it."""

    space: str
    text: str


def build_cues(segments: Iterable[Mapping[str, Any]]) -> list[Cue]:
    """Segments that have text, each in one line, one after the other, none of them too short to be shown."""
    cues: list[Cue] = []
    for segment in segments:
        text = _one_line(segment["text"])
        if text:
            start, end = _read_seconds(segment["start"]), _read_seconds(segment["end"])
            _append(cues, _milliseconds(start), _milliseconds(end), (text,))
    return cues


def build_subtitles(segments: Iterable[Mapping[str, Any]], columns: int = COLUMNS, lines: int = LINES) -> list[Cue]:
    """The same, wrapped: what fits into no two lines is shown in turn, by the times of its words if they are known."""
    cues: list[Cue] = []
    for segment in segments:
        wrapped = wrap(_one_line(segment["text"]), columns)
        groups = [tuple(wrapped[at : at + lines]) for at in range(0, len(wrapped), lines)]
        moments = _find_moments(segment, [sum(map(_count_letters, group)) for group in groups])
        for group, (start, end) in zip(groups, pairwise(moments), strict=True):
            _append(cues, _milliseconds(start), _milliseconds(end), group)
    return cues


def wrap(text: str, columns: int = COLUMNS) -> list[str]:
    """As few lines as will do, as even as can be; none wider than `columns` unless a single word is."""
    pieces = [piece for word in text.split() for piece in _divide(word, columns)]
    fewest = len(_fill(pieces, columns))
    narrowest = bisect_left(range(columns), True, key=lambda width: len(_fill(pieces, width)) <= fewest)
    return _fill(pieces, narrowest)


def width_of(text: str) -> int:
    """Columns on a screen: two for a wide letter, none for an accent."""
    return sum(map(_width_of_letter, text))


def _width_of_letter(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _append(cues: list[Cue], start_ms: int, end_ms: int, lines: tuple[str, ...]) -> None:
    start = max(start_ms, cues[-1].end_ms if cues else 0)
    cues.append(Cue(start, max(end_ms, start + SHORTEST_CUE_MS), lines))


def _fill(pieces: Sequence[_Piece], columns: int) -> list[str]:
    lines: list[str] = []
    left = -1
    for space, text in pieces:
        width = width_of(text)
        if len(space) + width <= left:
            lines[-1] += space + text
            left -= len(space) + width
        else:
            lines.append(text)
            left = columns - width
    return lines


def _divide(word: str, columns: int) -> Iterator[_Piece]:
    """Words of scripts without spaces break between letters; those of Thai and its kin only where one is too long."""
    scripts = _SPACELESS if width_of(word) <= columns else _SPACELESS + _SYLLABIC
    space, held = " ", word[:1]
    for before, letter in pairwise(word):
        if _may_break(before, letter, scripts):
            yield _Piece(space, held)
            space, held = "", ""
        held += letter
    yield _Piece(space, held)


def _may_break(before: str, letter: str, scripts: tuple[str, ...]) -> bool:
    if letter in _NEVER_FIRST or before in _NEVER_LAST or not _width_of_letter(letter):
        return False
    return any(unicodedata.name(side, "").startswith(scripts) for side in (before, letter))


def _find_moments(segment: Mapping[str, Any], letters: Sequence[int]) -> list[float]:
    """When each group of so many letters begins, and when the last one ends, in seconds."""
    start, end = _read_seconds(segment["start"]), _read_seconds(segment["end"])
    ends = list(accumulate(letters))
    return [start, *(_find_moment(segment, done, ends[-1]) for done in ends[:-1]), *([end] if ends else [])]


def _find_moment(segment: Mapping[str, Any], done: int, total: int) -> float:
    """When the word is said that follows after so many letters; by their share of the time if no words are known."""
    for word in segment.get("words") or ():
        if done <= 0:
            return _read_seconds(word["start"])
        done -= _count_letters(word["word"])
    start, end = _read_seconds(segment["start"]), _read_seconds(segment["end"])
    return start + (end - start) * max(0, done) / total


def _count_letters(text: str) -> int:
    return len("".join(text.split()))


def _one_line(text: str) -> str:
    return " ".join("".join(c if c >= " " and c != "\x7f" else " " for c in text).split())


def _read_seconds(value: float | None) -> float:
    """A time that JSON could not hold was stored as null."""
    return math.nan if value is None else float(value)


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000)) if math.isfinite(seconds) else 0
