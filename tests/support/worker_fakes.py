"""Builders and fakes of the worker's tests."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from crds.transcriptionjob import CallbackRecord, Progress, Result, Source, Status
from crds.worker import Target, WorkerTask
from worker.checkpoint import Checkpoints, State
from worker.errors import WorkerError
from worker.settings import WorkerSettings
from worker.sound import BYTES_PER_SECOND, Sound

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SHA = "0" * 64


def a_task(**changes: Any) -> WorkerTask:
    fields: dict[str, Any] = {
        "target": a_target(),
        "source": Source(bucket="media", key="videos/anonymous/talk.mp4", etag="abc"),
        "model": "demo",
        "result_bucket": "media",
        "formats": ("json", "txt", "srt"),
        "result_prefix": "transcripts/ns/talk/u1/1/",
        "callback_url": "http://receiver/result",
        "callback_id": "msg_u1_1",
    }
    return WorkerTask(**fields | changes)


def a_target(attempt: int = 1) -> Target:
    return Target(namespace="ns", name="talk", uid="u1", attempt=attempt)


def some_settings(task: WorkerTask | None = None, **changes: Any) -> WorkerSettings:
    return WorkerSettings(task=task or a_task(), pod_uid="pod-1", **changes)


def a_result(**changes: Any) -> Result:
    return Result(**{"key": "transcripts/t.json", "sha256": SHA, "bytes": 9, "formats": ("json",)} | changes)


def a_transcript(*segments: tuple[float, float, str]) -> dict[str, Any]:
    found = segments or ((0.0, 2.5, " Hello and welcome."), (2.5, 4.0, " Thank you."))
    return {
        "text": "".join(text for _, _, text in found),
        "segments": [{"id": i, "start": s, "end": e, "text": t} for i, (s, e, t) in enumerate(found)],
        "language": "en",
    }


def a_sound(samples: bytes) -> Sound:
    """All of it is there."""
    sound = an_empty_sound(len(samples) / BYTES_PER_SECOND)
    sound.append(samples)
    sound.finish()
    return sound


def an_empty_sound(max_seconds: float) -> Sound:
    """Its file has no name, so nobody needs to clear it away."""
    sound = Sound(Path(tempfile.gettempdir()) / f"sound-{uuid4()}", round(max_seconds * BYTES_PER_SECOND))
    sound.path.unlink()
    return sound


def fill_at_once(sound: Sound) -> None:
    """A minute and a half."""
    sound.append(bytes(90 * BYTES_PER_SECOND))
    sound.finish()


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class FakeKeeper:
    """The impatient door to S3; `fault` is what it raises."""

    files: dict[str, bytes] = field(default_factory=dict)
    fault: WorkerError | None = None
    puts: int = 0

    def find(self, key: str) -> bytes | None:
        self._fail()
        return self.files.get(key)

    def put(self, key: str, body: bytes, content_type: str) -> None:
        self.puts += 1
        self._fail()
        assert content_type == "application/gzip"
        self.files[key] = body

    def remove(self, key: str) -> None:
        self._fail()
        self.files.pop(key, None)

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


@dataclass
class FakeWorld:
    """All doors of a run; `events` tells what happened, in order."""

    status: Status = field(default_factory=Status)
    status_at_end: Status | None = None
    transcript: dict[str, Any] = field(default_factory=a_transcript)
    windows: tuple[float, ...] = (30.0, 60.0, 90.0)
    notes: tuple[str, ...] = ()
    is_reachable: bool = True
    answer: int | None = 200
    events: list[str] = field(default_factory=list)
    sent: list[Progress] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    callbacks: list[CallbackRecord | None] = field(default_factory=list)
    beats: list[Progress] = field(default_factory=list)
    told: list[Result] = field(default_factory=list)
    payloads: list[Any] = field(default_factory=list)
    on_window: Callable[[], None] = lambda: None
    fill: Callable[[Sound], None] = fill_at_once
    identity: str = "fake"
    kept: FakeKeeper = field(default_factory=FakeKeeper)
    save: Callable[[], None] | None = None

    @contextmanager
    def open_sound(self) -> Iterator[Sound]:
        self.events.append("open sound")
        with closing(an_empty_sound(100)) as sound:
            self.fill(sound)
            yield sound
        self.events.append("close sound")

    def read(self, key: str) -> bytes:
        return self.files[key]

    def find(self, key: str) -> bytes | None:
        return self.files.get(key)

    def publish(self, key: str, body: bytes, content_type: str) -> bytes:
        if key not in self.files:
            self.write(key, body, content_type)
        return self.files[key]

    def write(self, key: str, body: bytes, content_type: str) -> None:
        self.events.append(f"write {key.rpartition('.')[2]} {content_type.partition(';')[0]}")
        self.files[key] = body

    def load_engine(self) -> "FakeWorld":
        self.events.append("load")
        return self

    def transcribe(
        self,
        sound: Sound,
        task: WorkerTask,
        on_progress: Callable[[float], None],
        on_note: Callable[[str], None],
        checkpoints: Checkpoints,
    ) -> dict[str, Any]:
        self.events.append(f"transcribe {sound.seconds:.0f} s with {task.model}")
        on_progress(0.0)
        for note in self.notes:
            on_note(note)
        state = checkpoints.load()
        done = state.seek_seconds if state else 0.0
        for seconds in filter(lambda end: end > done, self.windows):
            self.on_window()
            checkpoints.save(State(seconds, [], {}))
            on_progress(seconds)
        return self.transcript

    def save_at_end(self, save: Callable[[], None]) -> None:
        self.save = save

    def open(self, first: Progress) -> Status:
        self.sent.append(first)
        return self.status

    def look(self, progress: Progress) -> Status:
        self.sent.append(progress)
        return self.status_at_end or self.status

    def report(self, progress: Progress) -> Status | None:
        self.sent.append(progress)
        return self.status if self.is_reachable else None

    def beat(self, look: Callable[[], Progress]) -> None:
        self.beats.append(look())

    def report_result(self, progress: Progress, result: Result, callback: CallbackRecord | None) -> bool:
        self.events.append("report result")
        self.sent.append(progress)
        self.callbacks.append(callback)
        assert result == self.told[-1]
        return self.is_reachable

    def report_callback(self, callback: CallbackRecord) -> bool:
        self.callbacks.append(callback)
        return self.is_reachable

    def deliver(self, transcript: dict[str, Any]) -> int | None:
        self.events.append("deliver")
        self.payloads.append(transcript)
        return self.answer

    def tell_result(self, result: Result) -> None:
        self.events.append("tell result")
        self.told.append(result)


class FakeApiServer:
    """Merge-patches one status as the API server does; `refusals` are status codes to answer first."""

    def __init__(self, status: Mapping[str, Any] | None = None, refusals: tuple[int, ...] = ()) -> None:
        self.status: dict[str, Any] = dict(status or {})
        self.uid = "u1"
        self.refusals = list(refusals)
        self.requests: list[httpx2.Request] = []

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url="https://cluster", transport=httpx2.MockTransport(self._answer))

    @property
    def patches(self) -> list[dict[str, Any]]:
        return [json.loads(request.content)["status"] for request in self.requests]

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.refusals:
            return httpx2.Response(self.refusals.pop(0), json={"message": "no"})
        patched = _merge(self.status, self.patches[-1])
        if _falls(self.status.get("progress", {}), patched.get("progress", {})):
            return httpx2.Response(422, json={"message": "progress never falls within an attempt"})
        self.status = patched
        return httpx2.Response(200, json={"metadata": {"uid": self.uid}, "spec": {}, "status": self.status})


def _merge(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _falls(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "percent" in old and new["attempt"] == old["attempt"] and new.get("percent", -1) < old["percent"]
