"""One run: media file in, stored transcript out. Built and called by `process`."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from crds.transcriptionjob import CallbackRecord, CallbackState, Progress, Result, Stage, Status
from crds.worker import WorkerTask
from worker.checkpoint import Checkpoints, Keeping, build_identity, build_key
from worker.errors import WorkerError
from worker.figures import Figures
from worker.heartbeat import beating
from worker.progress import ProgressGate
from worker.results import Published, Results, Transcript
from worker.results import Storing as Publishing
from worker.sound import Sound

SHORTEST_BEAT_SECONDS = 10

logger = logging.getLogger(__name__)


class Storing(Publishing, Protocol):
    def read(self, key: str) -> bytes: ...


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
    """Reads the sound while it is still coming; hears of progress begin with the first window."""

    identity: str
    """Of the model's file and the engine's version: an equal one gives the same words."""

    def transcribe(
        self,
        sound: Sound,
        task: WorkerTask,
        on_progress: Callable[[float], None],
        on_note: Callable[[str], None],
        checkpoints: Checkpoints,
    ) -> Transcript: ...


@dataclass(frozen=True)
class Doors:
    """Everything outside this process."""

    store: Storing
    keeper: Keeping
    open_sound: Callable[[], AbstractContextManager[Sound]]
    load_engine: Callable[[], Transcribing]
    reporter: Reporting
    courier: Delivering
    tell_result: Callable[[Result], None]
    save_at_end: Callable[[Callable[[], None]], None]


class Run:
    """One attempt of one pod."""

    def __init__(self, task: WorkerTask, doors: Doors, gate: ProgressGate) -> None:
        self._task = task
        self._doors = doors
        self._gate = gate
        self._results = Results(doors.store, task)
        self._checkpoints = Checkpoints(doors.keeper, build_key(task))
        self._figures = Figures()

    def run(self) -> Result:
        """The stored result; WorkerError when there is none."""
        with beating(self._beat, max(self._task.progress_interval_seconds, SHORTEST_BEAT_SECONDS)):
            return self._adopt(self._doors.reporter.open(self._gate.look())) or self._make()

    def _make(self) -> Result:
        published = self._results.find() or self._publish(self._work())
        # what another pod has published it may have announced, too: then nothing is left but perhaps the callback
        found = None if published.is_ours else self._adopt(self._doors.reporter.look(self._gate.look()))
        if found is None:
            with self._figures.timed(Stage.SAVING):
                found = self._results.complete(published)
            if self._announce(found):
                self._deliver(published.transcript, attempts=0)
        self._checkpoints.discard()
        return found

    def _publish(self, transcript: Transcript) -> Published:
        with self._stage(Stage.SAVING):
            return self._results.publish(transcript)

    def _work(self) -> Transcript:
        with self._doors.open_sound() as sound:
            with self._stage(Stage.DOWNLOADING):
                sound.reach(1)  # what is wrong with a file is mostly known by now, and no model was loaded for it
            with self._stage(Stage.LOADING_MODEL, sound.expected_seconds):
                engine = self._doors.load_engine()
            self._checkpoints.open(build_identity(self._task, engine.identity))
            self._doors.save_at_end(self._checkpoints.flush)
            with self._stage(Stage.TRANSCRIBING, sound.expected_seconds):
                hear = partial(self._hear, sound)
                transcript = engine.transcribe(sound, self._task, hear, self._note, self._checkpoints)
            self._gate.expect(sound.expected_seconds)
        return self._figures.add_to(transcript, sound.seconds, self._checkpoints.resumed_seconds)

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
        with self._figures.timed(Stage.DELIVERING):
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
        with self._figures.timed(stage):
            yield

    def _hear(self, sound: Sound, processed_seconds: float) -> None:
        self._figures.note_window()
        self._gate.expect(sound.expected_seconds)
        self._gate.skip(self._checkpoints.resumed_seconds)
        progress = self._gate.advance(processed_seconds)
        if progress is not None:
            self._report(progress)

    def _note(self, sentence: str) -> None:
        self._report(self._gate.note(sentence))

    def _beat(self) -> None:
        if self._gate.is_silent():
            self._doors.reporter.beat(self._gate.look)

    def _report(self, progress: Progress) -> None:
        self._learn(self._doors.reporter.report(progress))

    def _learn(self, status: Status | None) -> None:
        if status is not None and status.progress is not None:
            self._gate.adopt(status.progress)
