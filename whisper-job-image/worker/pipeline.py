"""One run: media file in, stored transcript out. Built and called by `process`."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from crds.transcriptionjob import FORMATS, CallbackRecord, CallbackState, Progress, Result, Source, Stage, Status
from crds.worker import WorkerTask
from worker.cues import build_cues
from worker.errors import WorkerError
from worker.heartbeat import beating
from worker.media import BYTES_PER_SECOND, Media
from worker.progress import ProgressGate
from worker.render import CONTENT_TYPES, render
from worker.settings import WorkerSettings

SHORTEST_BEAT_SECONDS = 10

logger = logging.getLogger(__name__)

Transcript = dict[str, Any]


class Storing(Protocol):
    def fetch(self, source: Source, path: Path, max_bytes: int) -> int: ...
    def read(self, key: str) -> bytes: ...
    def write(self, key: str, body: bytes, content_type: str) -> None: ...


class Reporting(Protocol):
    def open(self, first: Progress) -> Status: ...
    def look(self, progress: Progress) -> Status: ...
    def report(self, progress: Progress) -> Status | None: ...
    def beat(self, look: Callable[[], Progress]) -> None: ...
    def report_result(self, progress: Progress, result: Result, callback: CallbackRecord | None) -> bool: ...
    def report_callback(self, callback: CallbackRecord) -> bool: ...


class Delivering(Protocol):
    def deliver(self, transcript: Transcript) -> int | None: ...


class Transcribing(Protocol):
    """Takes the samples away, so that they need no memory while it works."""

    def transcribe(self, samples: bytearray, task: WorkerTask, on_progress: Callable[[float], None]) -> Transcript: ...


@dataclass(frozen=True)
class Doors:
    """Everything outside this process."""

    store: Storing
    probe: Callable[[Path, float], Media]
    decode: Callable[[Media, float], bytearray]
    load_engine: Callable[[], Transcribing]
    reporter: Reporting
    courier: Delivering
    tell_result: Callable[[Result], None]


class Run:
    """One attempt of one pod."""

    def __init__(self, settings: WorkerSettings, doors: Doors, gate: ProgressGate, scratch: Path) -> None:
        self._settings = settings
        self._task = settings.task
        self._doors = doors
        self._gate = gate
        self._media_path = scratch / "media"

    def run(self) -> Result:
        """The stored result; WorkerError when there is none."""
        with beating(self._beat, max(self._task.progress_interval_seconds, SHORTEST_BEAT_SECONDS)):
            return self._adopt(self._doors.reporter.open(self._gate.look())) or self._make()

    def _make(self) -> Result:
        samples = self._read_samples()
        duration_seconds = len(samples) / BYTES_PER_SECOND
        transcript = self._transcribe(samples)
        # a second pod of this attempt may have been faster: what it has published is not overwritten
        return self._adopt(self._doors.reporter.look(self._gate.look())) or self._publish(transcript, duration_seconds)

    def _publish(self, transcript: Transcript, duration_seconds: float) -> Result:
        body = render(transcript, "json")
        result = self._save(transcript, body, duration_seconds)
        if self._announce(result):
            self._deliver(json.loads(body), attempts=0)
        return result

    def _adopt(self, status: Status) -> Result | None:
        """The result that another pod has stored, if any; what may be left of it is the callback."""
        self._learn(status)
        result, callback = status.result, status.callback
        if result is None:
            return None
        logger.info("result found", extra={"key": result.key})
        self._doors.tell_result(result)
        if callback is not None and callback.state is CallbackState.PENDING:
            try:
                self._deliver(json.loads(self._doors.store.read(result.key)), callback.attempts)
            except (WorkerError, ValueError) as error:
                logger.warning("callback left to the controller", extra={"error": str(error)})
        return result

    def _read_samples(self) -> bytearray:
        with self._stage(Stage.DOWNLOADING):
            size_bytes = self._doors.store.fetch(self._task.source, self._media_path, self._settings.max_input_bytes)
            media = self._doors.probe(self._media_path, self._settings.max_audio_seconds)
            logger.info("media found", extra={"bytes": size_bytes, "container": media.container})
            samples = self._doors.decode(media, self._settings.max_audio_seconds)
            self._media_path.unlink()
        return samples

    def _transcribe(self, samples: bytearray) -> Transcript:
        total_seconds = len(samples) / BYTES_PER_SECOND
        with self._stage(Stage.LOADING_MODEL, total_seconds):
            engine = self._doors.load_engine()
        with self._stage(Stage.TRANSCRIBING):
            return engine.transcribe(samples, self._task, self._hear)

    def _save(self, transcript: Transcript, body: bytes, duration_seconds: float) -> Result:
        """JSON goes last: where it is, the other formats are."""
        wanted = [f for f in FORMATS if f != "json" and f in self._task.formats]
        result = Result(
            key=f"{self._task.result_prefix}transcript.json",
            sha256=sha256(body).hexdigest(),
            bytes=len(body),
            formats=("json", *wanted),
            language=transcript["language"],
            duration_seconds=round(duration_seconds, 2),
            segments=len(build_cues(transcript["segments"])),
        )
        with self._stage(Stage.SAVING):
            for output in wanted:
                self._doors.store.write(result.key_of(output), render(transcript, output), CONTENT_TYPES[output])
            self._doors.store.write(result.key, body, CONTENT_TYPES["json"])
        return result

    def _announce(self, result: Result) -> bool:
        """False when the status has not taken it: the transcription has ended, or the controller sees to the rest."""
        self._doors.tell_result(result)
        pending = CallbackRecord(state=CallbackState.PENDING, id=self._task.callback_id)
        callback = pending if self._task.callback_url else None
        is_told = self._doors.reporter.report_result(self._gate.finish(), result, callback)
        logger.info("result stored", extra={"key": result.key, "sha256": result.sha256, "is_in_status": is_told})
        return is_told

    def _deliver(self, transcript: Transcript, attempts: int) -> None:
        if self._task.callback_url is None:
            return
        with _timed(Stage.DELIVERING):
            code = self._doors.courier.deliver(transcript)
        is_delivered = code is not None and 200 <= code < 300
        record = CallbackRecord(
            state=CallbackState.DELIVERED if is_delivered else CallbackState.PENDING,
            id=self._task.callback_id,
            attempts=attempts + 1,
            last_status_code=code,
            last_attempt_time=datetime.now(UTC).replace(microsecond=0),
        )
        self._doors.reporter.report_callback(record)
        logger.info("callback tried", extra={"state": record.state, "status_code": code})

    @contextmanager
    def _stage(self, stage: Stage, total_seconds: float | None = None) -> Iterator[None]:
        self._report(self._gate.enter(stage, total_seconds))
        with _timed(stage):
            yield

    def _hear(self, processed_seconds: float) -> None:
        progress = self._gate.advance(processed_seconds)
        if progress is not None:
            self._report(progress)

    def _beat(self) -> None:
        if self._gate.is_silent():
            self._doors.reporter.beat(self._gate.look)

    def _report(self, progress: Progress) -> None:
        self._learn(self._doors.reporter.report(progress))

    def _learn(self, status: Status | None) -> None:
        if status is not None and status.progress is not None:
            self._gate.adopt(status.progress)


@contextmanager
def _timed(stage: Stage) -> Iterator[None]:
    began_at = time.monotonic()
    yield
    logger.info("stage done", extra={"stage": stage, "seconds": round(time.monotonic() - began_at, 3)})
