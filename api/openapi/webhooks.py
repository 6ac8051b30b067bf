"""What we send to callback URLs, as openapi.json declares it. Called by openapi; crds.callback builds the real ones."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas import FailureDocument
from crds.callback import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER

REF = "#/components/schemas/{model}"

HEADERS = {
    ID_HEADER: (
        True,
        "The same for every try of one callback: whoever has seen it may answer 2xx and do nothing.",
        "msg_4d2a8a0e-6f7e-4c55-9a30-0f3d3c8f4f11_1",
    ),
    TIMESTAMP_HEADER: (False, "Seconds since 1970 of this try; present when callbacks are signed.", "1757562348"),
    SIGNATURE_HEADER: (
        False,
        "By Standard Webhooks: v1, and the base64 of HMAC-SHA256 over id, time and body with dots between;"
        " several stand apart by spaces. Present when callbacks are signed.",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
}


class TimedWord(BaseModel):
    """A word and when it was said, in seconds."""

    word: str
    start: float
    end: float
    probability: float


class TranscriptSegment(BaseModel):
    """A few seconds of speech; further fields are Whisper's own."""

    id: int
    start: float
    end: float
    text: str
    words: list[TimedWord] | None = None


class Transcript(BaseModel):
    """Whisper's own JSON; it may hold more fields."""

    text: str
    segments: list[TranscriptSegment]
    language: str


class Ended(BaseModel):
    job_id: str
    metadata: dict[str, str] = Field({}, description="That of the request; absent when it had none.")


class CompletedCallback(Ended):
    """The transcript is there."""

    status: Literal["completed"]
    result: Transcript


class FailedCallback(Ended):
    """There will be no transcript, unless the job is retried."""

    status: Literal["failed"]
    error: FailureDocument


class CancelledCallback(Ended):
    """The job was cancelled."""

    status: Literal["cancelled"]
    error: FailureDocument


CALLBACKS: dict[str, type[Ended]] = {
    "completed": CompletedCallback,
    "failed": FailedCallback,
    "cancelled": CancelledCallback,
}


def build_webhooks(examples: dict[str, Any]) -> dict[str, Any]:
    """One for each way that a transcription can end; all go to the same URL. Examples are by `status`."""
    return {
        f"transcription.{word}": {"post": _build_operation(word, model, examples[word])}
        for word, model in CALLBACKS.items()
    }


def _build_operation(word: str, model: type[Ended], example: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": REF.format(model=model.__name__)}
    return {
        "operationId": f"on{word.capitalize()}",
        "summary": f"A transcription is {word}",
        "description": (
            "Posted to the request's `callback_url`, or to the installation's. Any 2xx ends it; anything else, also a"
            " redirect, is tried again on the installation's schedule."
        ),
        "security": [],
        "parameters": [_build_header(name, *what) for name, what in HEADERS.items()],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "responses": {
            "2XX": {"description": "Received."},
            "default": {"description": "Not received: it is sent again later; Retry-After is heeded."},
        },
    }


def _build_header(name: str, is_always_there: bool, text: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": is_always_there,
        "description": text,
        "schema": {"type": "string"},
        "example": example,
    }
