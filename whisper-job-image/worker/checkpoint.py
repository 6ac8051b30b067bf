"""What is transcribed so far, kept in S3 so that the next pod goes on from there.

Built by the pipeline, used by the engine. It never fails a run, and takes at most a twentieth of its time: what cannot
be kept or read back is transcribed again.
"""

import gzip
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from crds.worker import WorkerTask, build_outputs_prefix
from worker.errors import WorkerError

VERSION = 2
INTERVAL_SECONDS = 2.0
PAUSE_FACTOR = 19
"""So many times what the last write took pass until the next, so that a slow or absent S3 costs little."""
FLUSH_SECONDS = 8.0
DAMAGE = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError)
CONTENT_TYPE = "application/gzip"

logger = logging.getLogger(__name__)


class Keeping(Protocol):
    """A door to S3 that gives up soon."""

    def find(self, key: str) -> bytes | None: ...
    def put(self, key: str, body: bytes, content_type: str) -> None: ...
    def remove(self, key: str) -> None: ...


@dataclass(frozen=True)
class State:
    """Everything before `seek_seconds` is in `segments`; what else the engine needs is its own affair, as JSON."""

    seek_seconds: float
    segments: Sequence[dict[str, Any]]
    engine: dict[str, Any]


def build_identity(task: WorkerTask, engine: str) -> str | None:
    """What must be the same for a checkpoint to fit; None when the input may change, so that none ever does."""
    if task.source.etag is None:
        return None
    asked = (task.engine, task.language, task.language_options, task.task, task.word_timestamps, task.initial_prompt)
    facts = (VERSION, task.source.etag.strip('"'), task.model, engine, *asked)
    return sha256(json.dumps(facts).encode()).hexdigest()


def build_key(task: WorkerTask) -> str:
    """One for all attempts of a transcription; it goes when its outputs are deleted."""
    target = task.target
    return f"{build_outputs_prefix(target.namespace, target.name, target.uid)}checkpoint.json.gz"


class Checkpoints:
    """The one checkpoint of a transcription."""

    def __init__(self, store: Keeping, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._key = key
        self._identity: str | None = None
        self._clock = clock
        self._next_at = clock() + INTERVAL_SECONDS
        self._unsaved: State | None = None
        self._one_at_a_time = threading.Lock()
        self.resumed_seconds = 0.0

    def open(self, identity: str | None) -> None:
        """From here on it is about this work."""
        self._identity = identity

    def load(self, *needed: str) -> State | None:
        """What an earlier pod has left of this very work, if anything, and if the engine finds in it what it needs."""
        if self._identity is None:
            return None
        state = self._read()
        if state is not None and not state.engine.keys() >= set(needed):
            logger.warning("checkpoint of another engine ignored", extra={"key": self._key})
            return None
        if state is not None:
            self.resumed_seconds = state.seek_seconds
            logger.info("checkpoint found", extra={"seconds": state.seek_seconds, "segments": len(state.segments)})
        return state

    def save(self, state: State) -> None:
        """Keep it, now or with the next one. The segments are taken as they are now: the list may grow later."""
        if self._identity is None:
            return
        self._unsaved = State(state.seek_seconds, list(state.segments), state.engine)
        if self._clock() >= self._next_at:
            self._write()

    def flush(self) -> None:
        """Keep the newest one: the process ends. Called from another thread."""
        self._write()

    def discard(self) -> None:
        """The transcript is stored: nothing is left to go on with."""
        with self._one_at_a_time:
            self._unsaved = self._identity = None
            try:
                self._store.remove(self._key)
            except WorkerError as error:
                logger.warning("checkpoint not removed", extra={"error": str(error)})

    def _read(self) -> State | None:
        try:
            body = self._store.find(self._key)
            if body is None:
                return None
            found = json.loads(gzip.decompress(body))
            if found.pop("identity") != self._identity:
                logger.info("checkpoint of other work ignored", extra={"key": self._key})
                return None
            return State(float(found["seek_seconds"]), list(found["segments"]), dict(found["engine"]))
        except (WorkerError, *DAMAGE) as error:
            logger.warning("damaged checkpoint ignored", extra={"key": self._key, "error": repr(error)})
            return None

    def _write(self) -> None:
        if not self._one_at_a_time.acquire(timeout=FLUSH_SECONDS):
            return
        try:
            began_at, state = self._clock(), self._unsaved
            if state is not None:
                self._put(state)
                now = self._clock()
                self._next_at = now + max(INTERVAL_SECONDS, PAUSE_FACTOR * (now - began_at))
        finally:
            self._one_at_a_time.release()

    def _put(self, state: State) -> None:
        found: dict[str, object] = {"identity": self._identity, "seek_seconds": state.seek_seconds}
        found |= {"segments": state.segments, "engine": state.engine}
        try:
            body = gzip.compress(json.dumps(found).encode(), compresslevel=1)
            self._store.put(self._key, body, CONTENT_TYPE)
        except (WorkerError, TypeError, ValueError) as error:
            logger.warning("checkpoint not stored", extra={"key": self._key, "error": str(error)})
            return
        if self._unsaved is state:
            self._unsaved = None
