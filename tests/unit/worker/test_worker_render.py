"""Subtitles and texts that players and strict parsers accept, whatever Whisper gives."""

import json
import math
import re
from html import unescape
from itertools import pairwise
from typing import Any

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.transcriptionjob import FORMATS, Format
from tests.support.worker_fakes import a_transcript
from worker.cues import COLUMNS, LINES, SHORTEST_CUE_MS, build_cues, build_subtitles, width_of, wrap
from worker.render import CONTENT_TYPES, render

GOLDEN: dict[Format, str] = {
    "txt": "Hello and welcome.\nThank you.\n",
    "srt": ("1\n00:00:00,000 --> 00:00:02,500\nHello and welcome.\n\n2\n01:01:01,250 --> 01:01:04,000\nThank you.\n"),
    "vtt": (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nHello and welcome.\n\n01:01:01.250 --> 01:01:04.000\nThank you.\n"
    ),
    "tsv": "start\tend\ttext\n0\t2500\tHello and welcome.\n3661250\t3664000\tThank you.\n",
}


@pytest.mark.parametrize("output", GOLDEN)
def test_a_format_is_written_as_its_readers_know_it(output: Format) -> None:
    transcript = a_transcript((0.0, 2.5, " Hello and welcome."), (3661.25, 3664.0, " Thank you."))
    assert render(transcript, output).decode() == GOLDEN[output]


def test_json_is_whispers_own() -> None:
    assert json.loads(render(a_transcript(), "json")) == a_transcript()


def test_json_stays_strict_when_whisper_gives_nan() -> None:
    transcript = a_transcript() | {"segments": [{"start": 0.0, "avg_logprob": math.nan, "words": [{"p": math.inf}]}]}
    found = json.loads(render(transcript, "json"), parse_constant=pytest.fail)
    assert found["segments"] == [{"start": 0.0, "avg_logprob": None, "words": [{"p": None}]}]


def test_every_format_is_made_of_the_stored_json_when_whisper_gave_nan() -> None:
    words = [{"word": " word", "start": math.nan, "end": math.nan}] * 40
    segment = {"start": math.nan, "end": math.nan, "text": " word" * 40, "words": words}
    stored = json.loads(render({"text": "", "segments": [segment], "language": "en"}, "json"))
    for output in FORMATS:
        assert render(stored, output).count(b"word") >= 40


def test_json_keeps_letters_of_any_script() -> None:
    assert "안녕하세요".encode() in render(a_transcript((0, 1, "안녕하세요")), "json")


@pytest.mark.parametrize(
    ("output", "expected"),
    [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n")],
)
def test_an_empty_file_is_valid_when_nothing_was_said(output: Format, expected: str) -> None:
    assert render({"text": "", "segments": [], "language": "en"}, output).decode() == expected


def test_a_cue_is_escaped_when_it_looks_like_markup() -> None:
    transcript = a_transcript((0, 1, "a <b>bold</b> & {\\an8} --> move"))
    assert "a &lt;b&gt;bold&lt;/b&gt; &amp; {\\an8} --&gt; move" in render(transcript, "vtt").decode()
    assert "a <\u200bb>bold<\u200b/b> & {\u200b\\an8} -> move" in render(transcript, "srt").decode()


@pytest.mark.parametrize("output", ["txt", "srt", "vtt", "tsv"])
def test_a_cue_stays_one_line_when_its_text_has_breaks(output: Format) -> None:
    text = render(a_transcript((0, 1, " one\n\n2\r\nthree\tfour\x00 ")), output).decode()
    assert "one 2 three four" in text


def test_a_cue_is_left_out_when_it_has_no_text() -> None:
    assert [cue.text for cue in build_cues(a_transcript((0, 1, "  "), (1, 2, "yes"))["segments"])] == ["yes"]


def test_a_cue_lasts_when_whisper_gives_it_no_time() -> None:
    cues = build_cues(a_transcript((1.0, 1.0, "a"), (1.0, 1.0, "b"), (5.0, 4.0, "c"))["segments"])
    assert [cue[:2] for cue in cues] == [(1000, 1100), (1100, 1200), (5000, 5100)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Hello and welcome.", ["Hello and welcome."]),
        (
            "the quick brown fox jumps over the lazy dog and rests",
            ["the quick brown fox jumps", "over the lazy dog and rests"],
        ),
        ("a" * 50 + " b", ["a" * 50, "b"]),
        (
            "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
            ["吾輩は猫である。名前はまだ無い。ど", "こで生れたかとんと見当がつかぬ。"],
        ),
        (
            "彼は言った「そうですか」彼女は言った「はい、そうです」",
            ["彼は言った「そうですか」彼女", "は言った「はい、そうです」"],
        ),
        (
            "안녕하세요 여러분 오늘은 날씨가 좋습니다 그래서 걸었습니다",
            ["안녕하세요 여러분 오늘은 날씨가", "좋습니다 그래서 걸었습니다"],
        ),
    ],
    ids=["short", "even", "long word", "japanese", "quotes", "korean"],
)
def test_lines_are_few_and_even(text: str, lines: list[str]) -> None:
    assert wrap(text) == lines


def test_a_mark_never_begins_a_line() -> None:
    for length in range(1, 60):
        assert all(not line.startswith(("。", "」")) for line in wrap("あ" * length + "。」" + "い" * 30))


def test_thai_is_cut_only_when_it_has_no_space_in_time() -> None:
    assert wrap("สวัสดีครับผมชื่อสมชาย และผมเป็นคนไทยที่อาศัยอยู่ในกรุงเทพ") == [
        "สวัสดีครับผมชื่อสมชาย",
        "และผมเป็นคนไทยที่อาศัยอยู่ในกรุงเทพ",
    ]
    assert all(width_of(line) <= COLUMNS for line in wrap("กรุงเทพมหานคร" * 9))


def test_a_long_segment_is_shown_in_turn() -> None:
    segment = {"start": 10.0, "end": 20.0, "text": " ".join(["word"] * 40)}
    cues = build_subtitles([segment])
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(10000, 14000), (14000, 18000), (18000, 20000)]
    assert [len(cue.lines) for cue in cues] == [2, 2, 1]


def test_a_long_segment_is_shown_by_the_times_of_its_words_when_they_are_known() -> None:
    words = [{"word": " word", "start": 10.0 + 0.1 * n, "end": 10.1 + 0.1 * n} for n in range(40)]
    cues = build_subtitles([{"start": 10.0, "end": 20.0, "text": " word" * 40, "words": words}])
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(10000, 11600), (11600, 13200), (13200, 20000)]


SECONDS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf]))
TIMES = st.floats(0, 1e5)
PROSE = st.text(st.sampled_from("aé ,.-<>&{}\\あ。「」漢한กำเ่\u0301\u2028\n\t👍"), max_size=150)
TEXTS = st.one_of(PROSE, st.text(max_size=60))
SEGMENTS = st.lists(st.tuples(TIMES, TIMES, TEXTS), max_size=6)


def some_segments(found: list[tuple[float, float, str]]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "text": text} for start, end, text in found]


def letters(text: str) -> str:
    """What must survive: everything but spaces and what is no text at all."""
    return "".join("".join(c if c >= " " and c != "\x7f" else " " for c in text).split())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SECONDS, SECONDS, st.text(max_size=20))))
def test_cues_follow_each_other_whatever_the_times(segments: list[tuple[float, float, str]]) -> None:
    for cues in (build_cues(some_segments(segments)), build_subtitles(some_segments(segments))):
        assert all(cue.end_ms - cue.start_ms >= SHORTEST_CUE_MS for cue in cues)
        assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))


@settings(max_examples=150, deadline=None)
@given(SEGMENTS)
def test_subtitles_hold_all_the_text_in_two_lines_of_42_columns(segments: list[tuple[float, float, str]]) -> None:
    cues = build_subtitles(some_segments(segments))
    lines = [line for cue in cues for line in cue.lines]
    assert all(1 <= len(cue.lines) <= LINES for cue in cues)
    assert all(line.strip() for line in lines)
    assert all(width_of(line) <= COLUMNS or " " not in line for line in lines)
    assert letters(" ".join(lines)) == letters(" ".join(text for _, _, text in segments))


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab ,.'é"), max_size=300))
def test_words_are_kept_whole_where_spaces_part_them(text: str) -> None:
    assert " ".join(wrap(text)).split() == text.split()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TIMES, TIMES, PROSE), max_size=6), st.sampled_from(["srt", "vtt"]))
def test_subtitles_are_read_back_as_they_were_written(segments: list[tuple[float, float, str]], output: Format) -> None:
    written = render({"segments": some_segments(segments)}, output).decode()
    cues = build_subtitles(some_segments(segments))
    read = pysubs2.SSAFile.from_string(written, output) if cues else pysubs2.SSAFile()
    assert [(event.start, event.end) for event in read] == [(cue.start_ms, cue.end_ms) for cue in cues]
    assert [event.text.count("\\N") for event in read] == [len(cue.lines) - 1 for cue in cues]


@pytest.mark.parametrize("output", ["srt", "vtt"])
def test_players_show_the_words_that_were_said(output: Format) -> None:
    said = "if a < b & c > d then print {x} <i>twice</i> --> and {\\an8} go on to the end of this line"
    [first, second] = pysubs2.SSAFile.from_string(render(a_transcript((0, 9, said)), output).decode(), output)
    shown = re.sub(r"\u200b", "", f"{first.text} {second.text}").replace("\\N", " ")
    expected = said if output == "vtt" else said.replace("-->", "->")
    assert unescape(shown) == expected


@settings(max_examples=50, deadline=None)
@given(SEGMENTS)
def test_a_table_has_a_row_of_three_for_every_segment_with_text(segments: list[tuple[float, float, str]]) -> None:
    rows = render({"segments": some_segments(segments)}, "tsv").decode().splitlines()
    assert [len(row.split("\t")) for row in rows] == [3] * len(rows)
    assert len(rows) == 1 + sum(bool(letters(text)) for _, _, text in segments)


def test_half_a_surrogate_pair_does_no_harm() -> None:
    for output in FORMATS:
        assert render(a_transcript((0, 1, "a\ud83db")), output).decode()


def test_every_format_has_a_content_type() -> None:
    assert set(CONTENT_TYPES) == set(FORMATS)
