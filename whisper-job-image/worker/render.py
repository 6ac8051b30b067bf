"""Whisper's result as files: json, txt, srt, vtt, tsv. Pure; called by the pipeline.

Whisper's own writers escape nothing and write cues of no length, which players drop.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from crds.transcriptionjob import Format

SHORTEST_CUE_MS = 100
CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
}


class Cue(NamedTuple):
    start_ms: int
    end_ms: int
    text: str


def render(transcript: Mapping[str, Any], output: Format) -> bytes:
    """One file, in UTF-8."""
    return (
        render_json(transcript) if output == "json" else _WRITERS[output](build_cues(transcript["segments"])).encode()
    )


def render_json(transcript: Mapping[str, Any]) -> bytes:
    """Whisper's own keys as strict JSON: a number that JSON cannot hold becomes null."""
    return json.dumps(_finite(transcript), ensure_ascii=False, allow_nan=False).encode()


def build_cues(segments: Iterable[Mapping[str, Any]]) -> list[Cue]:
    """Segments that have text, one after the other, none of them too short to be shown."""
    cues: list[Cue] = []
    for segment in segments:
        text = _one_line(segment["text"])
        start = max(_milliseconds(segment["start"]), cues[-1].end_ms if cues else 0)
        end = max(_milliseconds(segment["end"]), start + SHORTEST_CUE_MS)
        if text:
            cues.append(Cue(start, end, text))
    return cues


def _render_txt(cues: Sequence[Cue]) -> str:
    return "".join(f"{cue.text}\n" for cue in cues)


def _render_srt(cues: Sequence[Cue]) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{_escape_srt(cue.text)}\n"
        for number, cue in enumerate(cues, start=1)
    )


def _render_vtt(cues: Sequence[Cue]) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_escape_vtt(cue.text)}\n" for cue in cues
    )


def _render_tsv(cues: Sequence[Cue]) -> str:
    return "start\tend\ttext\n" + "".join(f"{cue.start_ms}\t{cue.end_ms}\t{cue.text}\n" for cue in cues)


_WRITERS: dict[Format, Callable[[Sequence[Cue]], str]] = {
    "txt": _render_txt,
    "srt": _render_srt,
    "vtt": _render_vtt,
    "tsv": _render_tsv,
}


def _escape_srt(text: str) -> str:
    # SubRip has no escapes; an invisible space keeps players from seeing a tag or a position code.
    return re.sub(r"<(?=[A-Za-z/!])|\{(?=\\)", "\\g<0>\u200b", text.replace("-->", "->"))


def _escape_vtt(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c >= " " and c != "\x7f" else " " for c in text).split())


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000)) if math.isfinite(seconds) else 0


def _clock(milliseconds: int, decimal_mark: str) -> str:
    seconds, ms = divmod(milliseconds, 1000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02d}:{m:02d}:{s:02d}{decimal_mark}{ms:03d}"


def _finite(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value
