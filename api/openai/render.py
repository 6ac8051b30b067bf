"""From Whisper's stored transcript to the answers that OpenAI's clients read. Pure; called by audio."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response

from api.languages import LANGUAGES
from api.openai.schemas import Segment, SpokenWord, Transcription, TranscriptionForm, VerboseTranscription
from crds.transcriptionjob import Format

STORED: dict[str, Format] = {"srt": "srt", "vtt": "vtt"}
"""Which of the stored files an answer is made of, where that is not the JSON."""

TEXT_TYPE = "text/plain; charset=utf-8"


def render_answer(form: TranscriptionForm, stored: bytes, duration_seconds: float | None) -> Response:
    """The body in the format that was asked for; `stored` is the file that stored_format names."""
    if form.response_format in STORED:
        return Response(stored, media_type=TEXT_TYPE)
    transcript = json.loads(stored)
    if form.response_format == "text":
        return Response(f"{transcript['text'].strip()}\n", media_type=TEXT_TYPE)
    shown: Transcription | VerboseTranscription = Transcription(text=transcript["text"].strip())
    if form.response_format == "verbose_json":
        shown = render_verbose(form, transcript, duration_seconds)
    return Response(shown.model_dump_json(exclude_none=True), media_type="application/json")


def stored_format(form: TranscriptionForm) -> Format:
    """The stored file that the answer is made of."""
    return STORED.get(form.response_format, "json")


def render_verbose(
    form: TranscriptionForm, transcript: Mapping[str, Any], duration_seconds: float | None
) -> VerboseTranscription:
    """What verbose_json holds."""
    segments = transcript["segments"]
    language = transcript.get("language") or ""
    return VerboseTranscription(
        language=LANGUAGES.get(language, language),
        duration=duration_seconds if duration_seconds is not None else (segments[-1]["end"] if segments else 0),
        text=transcript["text"].strip(),
        segments=[_build_segment(segment) for segment in segments] if form.has_segments else None,
        words=[_build_word(w) for s in segments for w in s.get("words") or ()] if form.has_words else None,
    )


def _build_segment(segment: Mapping[str, Any]) -> Segment:
    """A number that JSON could not hold was stored as null: clients read a number, so it is 0."""
    return Segment.model_validate(
        {name: 0 if segment[name] is None else segment[name] for name in Segment.model_fields if name in segment}
    )


def _build_word(word: Mapping[str, Any]) -> SpokenWord:
    return SpokenWord(word=word["word"].strip(), start=word["start"], end=word["end"])
