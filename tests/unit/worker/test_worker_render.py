"""Subtitles and texts that players and strict parsers accept, whatever Whisper gives."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.transcriptionjob import FORMATS, Format
from tests.support.worker_fakes import a_transcript
from worker.render import CONTENT_TYPES, SHORTEST_CUE_MS, build_cues, render

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


SECONDS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SECONDS, SECONDS, st.text(max_size=20))))
def test_cues_follow_each_other_whatever_the_times(segments: list[tuple[float, float, str]]) -> None:
    cues = build_cues([{"start": s, "end": e, "text": t} for s, e, t in segments])
    assert all(cue.end_ms - cue.start_ms >= SHORTEST_CUE_MS for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))


def test_every_format_has_a_content_type() -> None:
    assert set(CONTENT_TYPES) == set(FORMATS)
