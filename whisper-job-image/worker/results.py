"""The stored transcript of one attempt. Called by the pipeline.

Its JSON is stored once, by whichever pod comes first, and all other files are rendered from that JSON: whoever reads
them never sees the words of two pods mixed, and a pod that comes later goes on where the first one has stopped.
"""

import json
import logging
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, Self

from crds.transcriptionjob import FORMATS, Result
from crds.worker import WorkerTask
from worker.cues import build_cues
from worker.render import CONTENT_TYPES, render

logger = logging.getLogger(__name__)

Transcript = dict[str, Any]


class Storing(Protocol):
    def find(self, key: str) -> bytes | None: ...
    def publish(self, key: str, body: bytes, content_type: str) -> bytes: ...
    def write(self, key: str, body: bytes, content_type: str) -> None: ...


class Published(NamedTuple):
    """A transcript as it is stored, and whether it is ours."""

    body: bytes
    transcript: Transcript
    is_ours: bool

    @classmethod
    def parse(cls, body: bytes, is_ours: bool) -> Self | None:
        """None when it is no transcript."""
        try:
            transcript = json.loads(body)
            is_whole = isinstance(transcript["text"], str) and isinstance(transcript["language"], str)
            build_cues(transcript["segments"])
        except (ValueError, KeyError, TypeError):
            return None
        return cls(body, transcript, is_ours) if is_whole else None


class Results:
    """Where one attempt's files lie."""

    def __init__(self, store: Storing, task: WorkerTask) -> None:
        self._store = store
        self._task = task
        self._key = f"{task.result_prefix}transcript.json"

    def find(self) -> Published | None:
        """What an earlier pod has stored and not announced."""
        body = self._store.find(self._key)
        found = None if body is None else Published.parse(body, is_ours=False)
        if found is not None:
            logger.info("transcript found", extra={"key": self._key})
        return found

    def publish(self, transcript: Transcript) -> Published:
        """Store it, or give way to the one that is there."""
        body = render(transcript, "json")
        stored = self._store.publish(self._key, body, CONTENT_TYPES["json"])
        found = Published.parse(stored, is_ours=stored == body)
        if found is None:
            logger.warning("damaged transcript overwritten", extra={"key": self._key})
            self._store.write(self._key, body, CONTENT_TYPES["json"])
            return Published(body, json.loads(body), is_ours=True)
        return found

    def complete(self, published: Published) -> Result:
        """Store the other formats; what to announce."""
        body, transcript, _ = published
        wanted = [f for f in FORMATS if f != "json" and f in self._task.formats]
        result = Result(
            key=self._key,
            sha256=sha256(body).hexdigest(),
            bytes=len(body),
            formats=("json", *wanted),
            language=transcript["language"],
            duration_seconds=transcript.get("figures", {}).get("audio_seconds"),
            segments=len(build_cues(transcript["segments"])),
        )
        for output in wanted:
            self._store.write(result.key_of(output), render(transcript, output), CONTENT_TYPES[output])
        return result
