"""Whisper's result as files: json, txt, srt, vtt, tsv. Pure; called by the pipeline.

Whisper's own writers escape nothing and write cues of no length, which players drop.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crds.transcriptionjob import Format
from worker.cues import Cue, build_cues, build_subtitles

Segments = Sequence[Mapping[str, Any]]

CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
}


def render(transcript: Mapping[str, Any], output: Format) -> bytes:
    """One file, in UTF-8; a valid one when nothing was said."""
    return render_json(transcript) if output == "json" else _encode(_WRITERS[output](transcript["segments"]))


def render_json(transcript: Mapping[str, Any]) -> bytes:
    """Whisper's own keys as strict JSON: a number that JSON cannot hold becomes null."""
    return _encode(json.dumps(_finite(transcript), ensure_ascii=False, allow_nan=False))


def _render_txt(segments: Segments) -> str:
    return "".join(f"{cue.text}\n" for cue in build_cues(segments))


def _render_srt(segments: Segments) -> str:
    return "\n".join(
        f"{number}\n{_span(cue, ',')}\n{_escape_srt(_join(cue))}\n"
        for number, cue in enumerate(build_subtitles(segments), start=1)
    )


def _render_vtt(segments: Segments) -> str:
    cues = build_subtitles(segments)
    return "WEBVTT\n" + "".join(f"\n{_span(cue, '.')}\n{_escape_vtt(_join(cue))}\n" for cue in cues)


def _render_tsv(segments: Segments) -> str:
    return "start\tend\ttext\n" + "".join(f"{c.start_ms}\t{c.end_ms}\t{c.text}\n" for c in build_cues(segments))


_WRITERS: dict[Format, Callable[[Segments], str]] = {
    "txt": _render_txt,
    "srt": _render_srt,
    "vtt": _render_vtt,
    "tsv": _render_tsv,
}


def _join(cue: Cue) -> str:
    return "\n".join(cue.lines)


def _span(cue: Cue, decimal_mark: str) -> str:
    return f"{_clock(cue.start_ms, decimal_mark)} --> {_clock(cue.end_ms, decimal_mark)}"


def _escape_srt(text: str) -> str:
    # SubRip has no escapes; an invisible space keeps players from seeing a tag or a position code.
    return re.sub(r"<(?=\s*[A-Za-z/!])|\{(?=\\)", "\\g<0>\u200b", text.replace("-->", "->"))


def _escape_vtt(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(milliseconds: int, decimal_mark: str) -> str:
    seconds, ms = divmod(milliseconds, 1000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02d}:{m:02d}:{s:02d}{decimal_mark}{ms:03d}"


def _encode(text: str) -> bytes:
    return text.encode(errors="replace")  # half a surrogate pair is no text


def _finite(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value
