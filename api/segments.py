"""Whether the segments of a received result can be those of a transcript. Pure; called by receive."""

import math
from collections.abc import Mapping
from typing import Any

MAX_SEGMENTS = 200_000
OVERLAP_SECONDS = 1.0
"""Whisper's word times may draw neighbours a little over each other."""


def find_fault(result: Mapping[str, Any]) -> str | None:
    """What is wrong, in a sentence; None when nothing is, or when there are no segments at all."""
    if "segments" not in result:
        return None
    segments = result["segments"]
    if not isinstance(segments, list) or len(segments) > MAX_SEGMENTS:
        return f"result.segments must be a list of at most {MAX_SEGMENTS} segments."
    last_end = 0.0
    for segment in segments:
        start, end = _read_times(segment)
        if not 0 <= start <= end < math.inf:
            return (
                "Each of result.segments needs start and end in seconds: numbers from 0, the end not before the start."
            )
        if start < last_end - OVERLAP_SECONDS:
            return "result.segments must be in order of time, each beginning where the one before has ended."
        last_end = end
    return None


def _read_times(segment: object) -> tuple[float, float]:
    """Start and end; NaN, which is in no order with any number, for what is none."""
    if not isinstance(segment, dict):
        return math.nan, math.nan
    return _read_number(segment.get("start")), _read_number(segment.get("end"))


def _read_number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
