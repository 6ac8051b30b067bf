"""Tokens as segments: whisper's cuts and times."""

from typing import Any

import pytest

from worker.quality import Decoded
from worker.segments import Piece, clear_empty, cut_segments, restore_times, spans_of

STAMP = 1000
PIECE = Piece(6000, 2500)


def at(seconds: float) -> int:
    return STAMP + round(seconds / 0.02)


def cut(*tokens: int, piece: Piece = PIECE) -> tuple[list[tuple[float, float, list[int]]], int, bool]:
    found = cut_segments(piece, Decoded(tokens, "", 0.0, -0.1, 1.0, 0.0), STAMP)
    segments = [(part["start"], part["end"], part["tokens"]) for part in found.segments]
    return segments, found.done_frames, found.is_closed


def test_a_closed_text_is_one_segment_and_all_is_done() -> None:
    tokens = [at(0), 1, 2, at(3)]
    assert cut(*tokens) == ([(60.0, 63.0, tokens)], 2500, True)


def test_two_timestamps_in_a_row_part_segments() -> None:
    first, second = [at(0.5), 1, at(2)], [at(2.5), 2, 3, at(4)]
    assert cut(*first, *second) == ([(60.5, 62.0, first), (62.5, 64.0, second)], 2500, True)


def test_an_unfinished_sentence_is_left_for_the_next_piece() -> None:
    first = [at(0), 1, at(2)]
    assert cut(*first, at(2), 3, 4) == ([(60.0, 62.0, first)], 200, False)


@pytest.mark.parametrize(("tokens", "end"), [([at(0), 1], 85.0), ([], 85.0), ([at(0.4), 1], 60.4)])
def test_a_text_without_an_end_lasts_as_whisper_has_it(tokens: list[int], end: float) -> None:
    [(start, found, _)], done, _ = cut(*tokens)
    assert (start, found, done) == (60.0, end, 2500)


def test_segments_of_no_length_or_no_words_say_nothing() -> None:
    segments: list[dict[str, Any]] = [
        {"start": 1.0, "end": 1.0, "text": " a", "tokens": [1]},
        {"start": 1.0, "end": 2.0, "text": " ", "tokens": [2]},
        {"start": 1.0, "end": 2.0, "text": " b", "tokens": [3]},
    ]
    clear_empty(segments)
    assert [(part["text"], part["tokens"]) for part in segments] == [("", []), ("", []), (" b", [3])]


def a_segment(start: float, end: float, *words: tuple[str, float, float]) -> dict[str, Any]:
    timed = [{"word": word, "start": begin, "end": stop, "probability": 0.5} for word, begin, stop in words]
    return {"start": start, "end": end, "words": timed}


def test_words_share_the_time_of_their_segment_when_the_alignment_gave_them_none() -> None:
    segments = [a_segment(14.0, 16.8), a_segment(18.28, 19.6)]
    spans = spans_of(segments)
    segments[0] |= a_segment(14.2, 16.8, (" on", 14.2, 16.8))
    segments[1] |= a_segment(16.84, 16.84, (" The", 16.84, 16.84), (" phone.", 16.84, 16.84))
    restore_times(segments, spans)
    assert segments[0] == a_segment(14.2, 16.8, (" on", 14.2, 16.8)), "what has a time keeps it"
    assert segments[1] == a_segment(18.28, 19.6, (" The", 18.28, 18.76), (" phone.", 18.76, 19.6))


def test_a_segment_without_words_or_time_of_its_own_stays_empty() -> None:
    for segment in (a_segment(3.0, 3.0), a_segment(3.0, 3.0, (" a", 3.0, 3.0))):
        before = a_segment(3.0, 3.0) | segment
        restore_times([segment], [(3.0, 3.0)])
        assert segment == before
