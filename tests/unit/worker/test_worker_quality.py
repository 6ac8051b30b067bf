"""What is flagged, tried again or cut."""

from dataclasses import replace
from typing import Any

import pytest

from worker.quality import (
    Decoded,
    choose_better,
    compute_ratio,
    count_before_loop,
    cut_loop,
    find_flags,
    is_silent,
    needs_another_try,
)

STAMP = 1000
GOOD = Decoded((1, 2), "fine", 0.0, -0.2, 1.1, 0.01)
UNSURE, LOOPING = replace(GOOD, avg_logprob=-1.5), replace(GOOD, compression_ratio=9.0)
SILENT = replace(UNSURE, no_speech_prob=0.9)


def a_segment(**changes: Any) -> dict[str, Any]:
    return {"text": " Hi.", "no_speech_prob": 0.1, "compression_ratio": 1.0, "avg_logprob": -0.2} | changes


@pytest.mark.parametrize(
    ("found", "fails", "silent"),
    [
        (GOOD, False, False),
        (UNSURE, True, False),
        (LOOPING, True, False),
        (SILENT, False, True),
        (replace(GOOD, no_speech_prob=0.9), False, False),
        (replace(LOOPING, no_speech_prob=0.9), True, False),
    ],
    ids=["good", "unsure", "looping", "silent", "sure of its text", "a sure loop in silence"],
)
def test_windows_are_judged_as_whisper_does(found: Decoded, fails: bool, silent: bool) -> None:
    assert (needs_another_try(found), is_silent(found)) == (fails, silent)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [(UNSURE, GOOD, GOOD), (LOOPING, UNSURE, UNSURE), (UNSURE, LOOPING, UNSURE), (GOOD, UNSURE, GOOD)],
)
def test_the_better_try_is_kept_and_told(first: Decoded, second: Decoded, wanted: Decoded) -> None:
    assert choose_better(first, second) == replace(wanted, guards=("temperature_fallback",))


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([], 0),
        ([1, 2, 3] * 3, 9),
        ([7] * 3, 3),
        ([9, 8, *([5] * 30)], 3),
        ([9, 8, *([5, 6, 7] * 8)], 5),
        ([9, 8, *([5, 6, 7] * 8), 5], 5),
        ([9, *([5, 6, 7] * 8), 1, 2], 27),
    ],
    ids=["nothing", "a chorus", "a word thrice", "one word", "a phrase", "a phrase broken off", "a loop it got out of"],
)
def test_a_loop_at_the_end_is_said_once(tokens: list[int], kept: int) -> None:
    assert count_before_loop(tokens) == kept


def test_a_loop_is_cut_and_told_and_keeps_the_time_of_its_words() -> None:
    tokens = (STAMP, 9, 8, *((STAMP + 5, STAMP + 5, 5, 6) * 15), STAMP + 900)
    cut = cut_loop(replace(LOOPING, tokens=tokens), STAMP)
    assert cut.tokens == (STAMP, 9, 8, STAMP + 5, STAMP + 5, 5, 6, STAMP + 5)
    assert cut.guards == ("loop_cut",)


def test_words_stay_when_each_time_they_are_said_has_time_for_them() -> None:
    tokens = tuple(token for n in range(12) for token in (STAMP + 100 * n, 5, 6, 7, 8, 9, STAMP + 100 * n + 90))
    found = replace(LOOPING, tokens=tokens)
    assert cut_loop(found, STAMP) is found


@pytest.mark.parametrize("end", [(), (STAMP + 110,)], ids=["no end", "too soon an end"])
def test_a_loop_is_cut_when_its_last_words_have_no_time(end: tuple[int, ...]) -> None:
    said = tuple(token for n in range(2) for token in (STAMP + 50 * n, 5, 6, STAMP + 50 * n + 40))
    found = replace(LOOPING, tokens=(*said, STAMP + 100, *((5, 6) * 40), *end))
    assert cut_loop(found, STAMP).guards == ("loop_cut",)


def test_repeated_words_of_a_text_that_is_not_too_alike_stay() -> None:
    found = replace(GOOD, tokens=(STAMP, *([5, 6] * 20), STAMP + 100))
    assert cut_loop(found, STAMP) is found


def test_a_text_too_alike_without_a_loop_at_its_end_stays() -> None:
    found = replace(LOOPING, tokens=(STAMP, *([5, 6] * 20), 1, 2, 3, STAMP + 100))
    assert cut_loop(found, STAMP) is found


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        ({}, []),
        ({"no_speech_prob": 0.61}, ["no_speech_but_text"]),
        ({"compression_ratio": 2.41}, ["repetition"]),
        ({"avg_logprob": -1.01}, ["low_confidence"]),
        ({"avg_logprob": -2.0, "no_speech_prob": 0.9}, ["no_speech_but_text", "low_confidence"]),
        ({"avg_logprob": -2.0, "text": "  "}, []),
    ],
)
def test_a_reader_is_told_what_not_to_believe(change: dict[str, Any], flags: list[str]) -> None:
    assert find_flags(a_segment(**change)) == flags


@pytest.mark.parametrize(
    ("language", "heard", "flags"),
    [
        ("en", {"en": 0.1, "de": 0.9}, ["language_switch"]),
        ("en", {"en": 0.3, "de": 0.7}, []),
        ("en", {"en": 0.9, "de": 0.1}, []),
        (None, {"en": 0.1, "de": 0.9}, []),
        ("en", {}, []),
    ],
    ids=["another", "not sure", "the same", "told by the user", "a model of one language"],
)
def test_another_language_is_flagged_where_it_is_certain(
    language: str | None, heard: dict[str, float], flags: list[str]
) -> None:
    assert find_flags(a_segment(), replace(GOOD, languages=heard), language) == flags


def test_the_ratio_is_whispers() -> None:
    assert compute_ratio("ab" * 500) > 20
    assert compute_ratio("") == 0
