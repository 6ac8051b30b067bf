"""Comparing transcripts: bare words, and how many of them are wrong. Pure."""

import re
from collections.abc import Sequence

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def words_of(text: str) -> list[str]:
    """The lower-case words of a text, without punctuation; numbers up to ten are spelt out."""
    return [
        _NUMBERS[int(w)] if w.isdecimal() and int(w) < len(_NUMBERS) else w
        for w in re.findall(r"\w+(?:'\w+)*", text.lower())
    ]


def count_errors(spoken: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest words to replace, add or leave out between the two (Levenshtein distance)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(spoken, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


MODEL_ERRORS = 0.03
"""The demo model gets about one word in 3,400 wrong, so one in a clip of some forty may be its own; two are not."""


def assert_same_words(spoken: str, heard: str, *, tolerance: float = MODEL_ERRORS) -> None:
    """Fail with both texts when more than that share of the spoken words came out wrong."""
    wanted, got = words_of(spoken), words_of(heard)
    assert wanted, "nothing was spoken"
    errors = count_errors(wanted, got)
    assert errors <= tolerance * len(wanted), f"{errors} of {len(wanted)} words wrong\nspoken: {wanted}\n heard: {got}"
