"""Builders and fakes of the controller's tests."""

import asyncio
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.cache import Cache
from controller.delivery import Report
from controller.errors import MissingError, StaleError
from controller.loop import Loop
from controller.merge_patch import build_merge_patch
from controller.metrics import Metrics
from controller.reconcile import PatchStatus, Policy, Seen, Settle, Step
from controller.settings import ControllerSettings
from controller.views import JobView, PodView
from crds.transcriptionjob import NAME_LABEL, SETTLED_LABEL, Condition, Result, State, Status, Transcription
from crds.worker import Fault, Outcome

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
POLICY = Policy("http://api/result", (5, 60))
SILENT = Policy(None, ())
RESULT = Result(key=f"transcripts/ns/clip/{UID}/1/transcript.json", sha256="0" * 64, bytes=10, formats=("json",))


def a_manifest(name: str = "clip", spec: Mapping[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "100",
            "creationTimestamp": "2026-01-02T03:04:00Z",
        },
        "spec": {"source": {"bucket": "media", "key": "videos/a.mp4"}} | dict(spec or {}),
        "status": status,
    }


def a_transcription(
    status: Status | None = None, *, labels: Mapping[str, str] | None = None, name: str = "clip", **spec: Any
) -> Transcription:
    parsed = Transcription.parse(a_manifest(name, spec))
    return parsed.model_copy(update={"status": status or Status(), "labels": labels or {}})


def a_job(**changes: Any) -> JobView:
    job = JobView(
        namespace="ns",
        name="clip-1",
        uid="job-uid",
        resource_version=1,
        created=NOW,
        owner_uid=UID,
        owner_name="clip",
        is_deleting=False,
        has_ttl=False,
        ready=0,
        failed=0,
        ended=None,
        ended_reason=None,
        started=NOW,
    )
    return replace(job, **changes)


def a_pod(**changes: Any) -> PodView:
    return replace(PodView(name="clip-1-abcde", phase="Running", created=NOW), **changes)


def a_failed_pod(exit_code: int | None = None, **changes: Any) -> PodView:
    return a_pod(phase="Failed", exit_code=exit_code, finished=NOW, **changes)


def an_outcome(result: Result | None = None, **fault: Any) -> str:
    failure = Fault(**fault) if fault else None
    return Outcome(result=result, failure=failure).model_dump_json(by_alias=True, exclude_none=True)


def some_settings(**changes: Any) -> ControllerSettings:
    values: dict[str, Any] = {
        "namespace": "ns",
        "s3_bucket": "media",
        "worker_image": "worker:1",
        "worker_service_account": "worker",
        "callback_url": "http://api/result",
    }
    return ControllerSettings(**(values | changes))


def apply_status(transcription: Transcription, steps: tuple[Step, ...]) -> Transcription:
    """The transcription as it is after the steps."""
    for step in steps:
        if isinstance(step, PatchStatus):
            transcription = transcription.model_copy(update={"status": step.status})
        if isinstance(step, Settle):
            transcription = transcription.model_copy(update={"labels": {SETTLED_LABEL: "true"}})
    return transcription


def condition_of(status: Status, type_: str) -> Condition:
    return next(c for c in status.conditions if c.type == type_)


def seen(transcription: Transcription, **others: Any) -> Seen:
    return Seen(transcription, **others)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Crash(Exception):  # noqa: N818  # no error, an end
    """The process dies here."""


class FakeCluster:
    """An API server's memory: versions, merge patches of status, Jobs by name. Counts the writes; may crash at one."""

    def __init__(self, *transcriptions: Transcription) -> None:
        self.transcriptions = {t.name: t for t in transcriptions}
        self.jobs: dict[str, JobView] = {}
        self.pods: dict[str, tuple[PodView, ...]] = {}
        self.manifests: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.crash_at: tuple[int, str] | None = None
        self.has_crashed = False
        self.refusal: Exception | None = None
        self._version = 100

    async def get_transcription(self, name: str) -> Transcription:
        if name not in self.transcriptions:
            raise MissingError(name)
        return self.transcriptions[name]

    async def patch_status(self, transcription: Transcription, patch: Mapping[str, Any]) -> Transcription:
        stored = self._check(transcription)
        status = Status.model_validate(merge(stored.status.to_manifest(), patch))
        return self._write("status", lambda: self.store(stored.model_copy(update={"status": status})))

    async def settle(self, transcription: Transcription) -> Transcription:
        stored = self._check(transcription)
        return self._write("label", lambda: self.store(stored.model_copy(update={"labels": {SETTLED_LABEL: "true"}})))

    async def get_job(self, name: str) -> JobView:
        if name not in self.jobs:
            raise MissingError(name)
        return self.jobs[name]

    async def create_job(self, manifest: Mapping[str, Any]) -> JobView:
        if self.refusal is not None:
            raise self.refusal
        name = manifest["metadata"]["name"]
        if name not in self.jobs:
            self._write("create", lambda: self._add_job(name, deepcopy(dict(manifest))))
        return self.jobs[name]

    async def delete_job(self, job: JobView) -> None:
        self._write("delete", lambda: self.jobs.pop(job.name, None))

    async def expire_job(self, job: JobView) -> JobView:
        return self._write("expire", lambda: self.change_job(job.name, has_ttl=True))

    async def list_pods(self, job: JobView) -> tuple[PodView, ...]:
        return self.pods.get(job.name, ())

    def store(self, transcription: Transcription) -> Transcription:
        self._version += 1
        stored = transcription.model_copy(update={"resource_version": str(self._version)})
        self.transcriptions[stored.name] = stored
        return stored

    def change_job(self, name: str, **changes: Any) -> JobView:
        self._version += 1
        self.jobs[name] = replace(self.jobs[name], resource_version=self._version, **changes)
        return self.jobs[name]

    def change_status(self, name: str, **changes: Any) -> None:
        stored = self.transcriptions[name]
        self.store(stored.model_copy(update={"status": stored.status.model_copy(update=changes)}))

    def change_spec(self, name: str, **changes: Any) -> None:
        stored = self.transcriptions[name]
        spec = stored.spec.model_copy(update=changes)
        self.store(stored.model_copy(update={"spec": spec, "generation": stored.generation + 1, "labels": {}}))

    def _check(self, transcription: Transcription) -> Transcription:
        stored = self.transcriptions.get(transcription.name)
        if stored is None:
            raise MissingError(transcription.name)
        if stored.resource_version != transcription.resource_version:
            raise StaleError(transcription.name)
        return stored

    def _write(self, name: str, act: Any) -> Any:
        number = len(self.writes)
        self.writes.append(name)
        if self.crash_at == (number, "before"):
            self._crash()
        done = act()
        if self.crash_at == (number, "after"):
            self._crash()
        return done

    def _add_job(self, name: str, manifest: dict[str, Any]) -> None:
        self.manifests.append(manifest)
        self.jobs[name] = a_job(name=name, owner_name=manifest["metadata"]["labels"][NAME_LABEL])

    def _crash(self) -> None:
        self.crash_at, self.has_crashed = None, True
        raise Crash


class FakeOutbox:
    """A receiver that answers with the codes it is given, the last one for ever."""

    def __init__(self, clock: Clock, *codes: int | None) -> None:
        self._clock = clock
        self._codes = list(codes) or [200]
        self.sent: list[str] = []

    async def send(self, transcription: Transcription) -> Report:
        record = transcription.status.callback
        assert record is not None
        self.sent.append(record.id)
        code = self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]
        return Report(record.id, self._clock(), code)


class Operator:
    """A controller process in front of a fake cluster: show() is the watch, settle_down() works until it is idle."""

    def __init__(self, cluster: FakeCluster, clock: Clock, outbox: FakeOutbox | None = None, **settings: Any) -> None:
        self.cluster, self.clock = cluster, clock
        self.outbox = outbox or FakeOutbox(clock)
        door: Any = cluster
        post: Any = self.outbox
        self.loop = Loop(some_settings(**settings), door, post, Metrics.build(), clock)

    @property
    def cache(self) -> Cache:
        return self.loop.cache

    def show(self) -> None:
        for job in self.cluster.jobs.values():
            self.cache.put_job(job)
        for transcription in self.cluster.transcriptions.values():
            self.cache.put(transcription)
            self.loop.queue.add(transcription.name)

    async def settle_down(self) -> None:
        self.show()
        for _ in range(100):
            for _ in range(10):
                await asyncio.sleep(0)
            self.loop.queue.release_due()
            if not len(self.loop.queue):
                return
            await self.loop.work_once()
            if self.cluster.has_crashed:
                raise Crash
        raise AssertionError("it never comes to rest")


def merge(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def patch_between(old: Status, new: Status) -> dict[str, Any]:
    return build_merge_patch(old.to_manifest(), new.to_manifest())


def final(state: State, **changes: Any) -> Status:
    """A status with that final state latched, by way of decide()."""
    from controller.conditions import enter

    running = a_transcription(Status(attempt=1))
    return enter(running, state, "It ended.", str(state), NOW).model_copy(update={"completion_time": NOW} | changes)
