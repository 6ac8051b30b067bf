"""A fake cluster and receiver, and a controller process in front of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from controller.cache import Cache
from controller.conditions import final_state
from controller.delivery import Report
from controller.errors import MissingError, StaleError
from controller.loop import Loop
from controller.metrics import Metrics
from controller.views import JobView, PodView
from crds.transcriptionjob import OUTPUTS_FINALIZER, SETTLED_LABEL, Result, Status, Transcription
from tests.support.controller_fakes import Clock, a_job, some_settings


class Crash(Exception):  # noqa: N818  # no error, an end
    """The process dies here."""


class FakeCluster:
    """An API server's memory: versions, merge patches of status, Jobs by name. Counts the writes; may crash at one."""

    def __init__(self, *transcriptions: Transcription) -> None:
        self.transcriptions = {t.name: t for t in transcriptions}
        self.jobs: dict[str, JobView] = {}
        self.pods: dict[str, tuple[PodView, ...]] = {}
        self.refusals: dict[str, str] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.manifests: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.reads: list[str] = []
        self.clock = Clock()
        self.crash_at: tuple[int, str] | None = None
        self.has_crashed = False
        self.refusal: Exception | None = None
        self._version = 100

    async def list_live(self) -> AsyncIterator[Transcription]:
        for transcription in list(self.transcriptions.values()):
            if not transcription.labels:
                yield transcription

    async def list_settled(self, is_wanted: Callable[[dict[str, Any]], bool]) -> AsyncIterator[Transcription]:
        for transcription in list(self.transcriptions.values()):
            if transcription.labels and is_wanted(to_manifest(transcription)):
                yield transcription

    async def list_jobs(self) -> AsyncIterator[JobView]:
        for job in list(self.jobs.values()):
            yield job

    async def get_transcription(self, name: str) -> Transcription:
        self.reads.append(name)
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

    async def unsettle(self, transcription: Transcription) -> Transcription:
        stored = self._check(transcription)
        return self._write("unlabel", lambda: self.store(stored.model_copy(update={"labels": {}})))

    async def hold_outputs(self, transcription: Transcription) -> Transcription:
        return self._set_finalizers("hold", transcription, (*transcription.finalizers, OUTPUTS_FINALIZER))

    async def release_outputs(self, transcription: Transcription) -> Transcription:
        left = tuple(f for f in transcription.finalizers if f != OUTPUTS_FINALIZER)
        return self._set_finalizers("release", transcription, left)

    def _set_finalizers(self, name: str, transcription: Transcription, finalizers: tuple[str, ...]) -> Transcription:
        stored = self._check(transcription)

        def set_them() -> Transcription:
            changed = self.store(stored.model_copy(update={"finalizers": finalizers}))
            if changed.is_deleting and not finalizers:
                self.forget(changed)
            return changed

        changed: Transcription = self._write(name, set_them)
        return changed

    async def delete_transcription(self, transcription: Transcription) -> None:
        stored = self._check(transcription)
        self._write("remove", lambda: self._remove(stored))

    def _remove(self, stored: Transcription) -> None:
        """With a finalizer it stays and is marked; without, its Jobs go with it."""
        if stored.finalizers:
            self.store(stored.model_copy(update={"is_deleting": True}))
        else:
            self.forget(stored)

    def forget(self, transcription: Transcription) -> None:
        """It is gone, and with it what it owns."""
        del self.transcriptions[transcription.name]
        self.jobs = {name: job for name, job in self.jobs.items() if job.owner_uid != transcription.uid}

    async def get_job(self, name: str) -> JobView:
        self.reads.append(name)
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

    def left_over(self) -> list[str]:
        """Jobs of final transcriptions that nothing ever removes: live ones."""
        finals = {t.name for t in self.transcriptions.values() if final_state(t.status)}
        return [j.name for j in self.jobs.values() if j.owner_name in finals and not j.ended]

    async def list_pods(self, job: JobView) -> tuple[PodView, ...]:
        self.reads.append(f"pods of {job.name}")
        return self.pods.get(job.name, ())

    async def list_pods_by_job(self) -> dict[str, tuple[PodView, ...]]:
        return {job.uid: self.pods[job.name] for job in self.jobs.values() if job.name in self.pods}

    async def list_all_pods(self, transcription: Transcription) -> tuple[PodView, ...]:
        names = [f"{transcription.name}-{attempt + 1}" for attempt in range(transcription.status.attempt)]
        return tuple(pod for name in names for pod in self.pods.get(name, ()))

    async def find_refusal(self, job: JobView) -> str | None:
        return self.refusals.get(job.name)

    async def create_event(self, manifest: Mapping[str, Any]) -> None:
        self.events.setdefault(manifest["metadata"]["name"], dict(manifest))

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

    def change_spec(self, name: str, *, keeps_label: bool = False, **changes: Any) -> None:
        stored = self.transcriptions[name]
        labels = stored.labels if keeps_label else {}
        spec = stored.spec.model_copy(update=changes)
        self.store(stored.model_copy(update={"spec": spec, "generation": stored.generation + 1, "labels": labels}))

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
        owner = manifest["metadata"]["ownerReferences"][0]
        now = self.clock()
        self.jobs[name] = a_job(
            name=name,
            owner_name=owner["name"],
            owner_uid=owner["uid"],
            created=now,
            started=now,
            is_suspended=manifest["spec"].get("suspend", False),
        )

    def _crash(self) -> None:
        self.crash_at, self.has_crashed = None, True
        raise Crash


class FakeOutbox:
    """A receiver that answers with the codes it is given, the last one for ever."""

    def __init__(self, clock: Clock, *codes: int | None) -> None:
        self._clock = clock
        self._codes = list(codes) or [200]
        self.sent: list[str] = []

    def find_url(self, transcription: Transcription) -> str:
        return transcription.spec.callback.url if transcription.spec.callback else "http://api/result"

    async def send(self, transcription: Transcription) -> Report:
        record = transcription.status.callback
        assert record is not None
        self.sent.append(record.id)
        code = self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]
        return Report(record.id, self._clock(), code)


class FakeResults:
    """A bucket's memory: keys under each prefix."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.stored: dict[str, Result] = {}

    async def find(self, transcription: Transcription) -> Result | None:
        return self.stored.get(transcription.name)

    async def delete_outputs(self, transcription: Transcription) -> None:
        self.deleted.append(transcription.name)


class Operator:
    """A controller process in front of a fake cluster: show() is the watch, settle_down() works until it is idle."""

    def __init__(self, cluster: FakeCluster, clock: Clock, outbox: FakeOutbox | None = None, **settings: Any) -> None:
        self.cluster, self.clock = cluster, clock
        self.outbox = outbox or FakeOutbox(clock)
        door: Any = cluster
        post: Any = self.outbox
        self.results = FakeResults()
        files: Any = self.results
        self.loop = Loop(some_settings(**settings), door, post, files, Metrics.build(), clock)

    @property
    def cache(self) -> Cache:
        return self.loop.cache

    def show_jobs(self) -> None:
        for job in self.cluster.jobs.values():
            if self.cache.put_job(job):
                self.loop.queue.add(job.owner_name or "")

    def show_transcriptions(self) -> None:
        """The watch: one with the label leaves it."""
        for transcription in self.cluster.transcriptions.values():
            if transcription.labels and not self.cache.drop(transcription.name, transcription.uid):
                continue
            if not transcription.labels:
                self.cache.put(transcription)
            self.loop.queue.add(transcription.name)

    def show(self) -> None:
        self.show_jobs()
        self.show_transcriptions()

    async def settle_down(self, order: str = "together") -> None:
        if order == "jobs first":
            self.show_jobs()
            await self.work()
        if order == "transcriptions first":
            self.show_transcriptions()
            await self.work()
        self.show()
        await self.work()

    async def work(self) -> None:
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


def to_manifest(transcription: Transcription) -> dict[str, Any]:
    """As the API server would send it."""
    return {
        "metadata": {"generation": transcription.generation},
        "spec": transcription.spec.to_manifest(),
        "status": transcription.status.to_manifest(),
    }


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
