"""What the segments of a received result may be: all that Whisper makes, and nothing out of time."""

import json
import math
from typing import Any

import pytest

from api.segments import MAX_SEGMENTS, find_fault
from tests.support.api_fakes import Caller, FakeStore, a_result, a_row

WORD = {"word": " Hello", "start": 0.0, "end": 0.42, "probability": 0.9876543283462524}
SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 2.5,
    "text": " Hello and welcome.",
    "tokens": [50364, 2425, 293, 2928, 13, 50489],
    "temperature": 0.0,
    "avg_logprob": -0.23,
    "compression_ratio": 0.72,
    "no_speech_prob": 0.01,
}
"""The ten fields of a segment of Whisper's; `words` is the eleventh."""


def a_segment(start: Any = 0.0, end: Any = 2.5, **changes: Any) -> dict[str, Any]:
    return SEGMENT | {"start": start, "end": end} | changes


GOOD = [
    [],
    [a_segment()],
    [a_segment(0, 0, text="", tokens=[]), a_segment(0, 3)],
    [a_segment(0.0, 29.98, words=[WORD]), a_segment(29.98, 31.0, words=[WORD]), a_segment(30.5, 33.2, words=[])],
    [a_segment(0.0, 30.0), a_segment(29.0, 58.0), a_segment(57.0, 57.0)],
    [a_segment(0.0, 10.0), a_segment(9.5, 9.6), a_segment(8.7, 9.0)],
    [a_segment(14_000.02, 14_400.5)],
]
BAD: list[Any] = [
    None,
    {},
    "",
    7,
    [None],
    ["text"],
    [[0, 1]],
    [{}],
    [{"start": 0}],
    [{"start": None, "end": 1}],
    [{"start": "0", "end": "1"}],
    [{"start": False, "end": True}],
    [a_segment(2.5, 2.4)],
    [a_segment(-0.01, 1)],
    [a_segment(-2, -1)],
    [a_segment(0.0, 5.0), a_segment(3.9, 6.0)],
    [a_segment(0.0, 5.0), a_segment(5.0, 9.0), a_segment(0.0, 10.0)],
]


@pytest.mark.parametrize("segments", GOOD)
def test_what_whisper_makes_is_taken(segments: list[Any]) -> None:
    assert find_fault({"text": "", "segments": segments, "language": "en"}) is None


@pytest.mark.parametrize("result", [{}, {"text": "hello"}])
def test_a_result_needs_no_segments(result: dict[str, Any]) -> None:
    assert find_fault(result) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_case_132_a_time_that_is_no_number_is_refused(value: float) -> None:
    assert find_fault({"segments": [a_segment(0.0, value)]}) is not None
    assert find_fault({"segments": [a_segment(value, 1.0)]}) is not None


def test_case_132_more_segments_than_any_transcript_has_are_refused() -> None:
    segment = a_segment()
    assert find_fault({"segments": [segment | {"end": 0.0}] * MAX_SEGMENTS}) is None
    assert find_fault({"segments": [segment | {"end": 0.0}] * (MAX_SEGMENTS + 1)}) is not None


@pytest.mark.parametrize("segments", BAD)
def test_case_132_segments_out_of_time_are_refused_and_nothing_is_kept(
    client: Caller, store: FakeStore, segments: Any
) -> None:
    store.rows.see(a_row("a", status={"state": "Running", "result": a_result()}))
    answer = client.post("/api/upload-video/result", json={"job_id": "a", "result": {"segments": segments}})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert "segments" in answer.json()["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_case_132_a_number_that_is_no_json_is_refused(client: Caller, number: str) -> None:
    body = json.dumps({"job_id": "a", "result": {"segments": [a_segment(0.0, 7.25)]}}).replace("7.25", number)
    answer = client.post(
        "/api/upload-video/result", content=body.encode(), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
