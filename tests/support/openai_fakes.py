"""A store whose jobs end by themselves, over the fake doors, and what Whisper said. Used by the tests of /v1."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from api.row import Row
from crds.transcriptionjob import Spec
from tests.support.api_fakes import FakeStore, FakeUploads, a_row

RESULT_KEY = "transcripts/transcription/123456/uid/1/transcript.json"
SRT = "1\n00:00:00,000 --> 00:00:01,400\nGood morning.\n"
VTT = "WEBVTT\n\n00:00:00.000 --> 00:00:01.400\nGood morning.\n"
SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 1.4,
    "text": " Good morning.",
    "tokens": [50364, 2205, 2446, 13],
    "temperature": 0.0,
    "avg_logprob": -0.2,
    "compression_ratio": 0.8,
    "no_speech_prob": 0.01,
    "words": [
        {"word": " Good", "start": 0.0, "end": 0.6, "probability": 0.9},
        {"word": " morning.", "start": 0.6, "end": 1.4, "probability": 0.9},
    ],
}
TRANSCRIPT = {"text": " Good morning.", "segments": [SEGMENT], "language": "en"}

Status = Mapping[str, Any]


def a_success(**changes: Any) -> dict[str, Any]:
    result = {"key": RESULT_KEY, "sha256": "0" * 64, "bytes": 2, "formats": ["json"], "durationSeconds": 1.5}
    return {"state": "Succeeded", "attempt": 1, "result": result | changes}


def a_failure(reason: str, *, retryable: bool = False) -> dict[str, Any]:
    failure = {"reason": reason, "message": "Something is wrong with it.", "retryable": retryable}
    return {"state": "Failed", "attempt": 1, "failure": failure}


def some_transcripts() -> FakeUploads:
    stored = {"json": json.dumps(TRANSCRIPT).encode(), "srt": SRT.encode(), "vtt": VTT.encode()}
    return FakeUploads(**{f"{RESULT_KEY.removesuffix('json')}{ending}": body for ending, body in stored.items()})


class EndingStore(FakeStore):
    """Each job ends as `ends` says as soon as it is made; with None it runs for ever."""

    def __init__(self, ends: Status | None = None) -> None:
        super().__init__()
        self.ends = ends
        self.on_create: Callable[[str], None] = lambda _: None

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        self.version = max(self.version, self.rows.version)
        row = await super().create(name, spec, annotations)
        if self.ends is not None:
            self.tell(a_row(name, row.version + 1, self.ends))
        self.on_create(name)
        return row
