"""What the watches have shown last: live transcriptions and their Jobs, trimmed. Filled by handlers, loop, resync."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from controller.conditions import final_state
from controller.line import Line
from controller.views import JobView, PodView
from crds.transcriptionjob import Progress, State, Transcription


class Cache:
    """Transcriptions and Jobs by name. An older version never replaces a newer one."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._transcriptions: dict[str, Transcription] = {}
        self._heard: dict[str, datetime] = {}
        self._jobs: dict[str, JobView] = {}
        self._names_by_owner: dict[str, set[str]] = {}
        self._pods: dict[str, tuple[int, tuple[PodView, ...]]] = {}
        self._reserved: set[str] = set()
        self.line = Line()

    def __len__(self) -> int:
        return len(self._transcriptions)

    def put(self, transcription: Transcription) -> bool:
        """Keep it; whether anything but progress is new in it."""
        name, before = transcription.name, self._transcriptions.get(transcription.name)
        if before and _version(before) >= _version(transcription):
            return False
        self._transcriptions[name] = transcription
        self._give_place(transcription)
        if before is None or _life_sign(before) != _life_sign(transcription):
            self._heard[name] = self._clock()
        return before is None or _essence(before) != _essence(transcription)

    def get(self, name: str) -> Transcription | None:
        return self._transcriptions.get(name)

    def heard(self, name: str) -> datetime | None:
        """When its worker was last heard of here; by our own clock, because nobody else's can be trusted."""
        return self._heard.get(name)

    def drop(self, name: str, uid: str) -> bool:
        """Forget the transcription, unless another one has taken its name."""
        before = self._transcriptions.get(name)
        if before is None or before.uid != uid:
            return False
        del self._transcriptions[name]
        self._heard.pop(name, None)
        self.line.leave(name)
        return True

    def put_job(self, job: JobView) -> bool:
        """Keep it; whether it is new."""
        before = self._jobs.get(job.name)
        if before and before.resource_version >= job.resource_version:
            return False
        self._jobs[job.name] = job
        self._names_by_owner.setdefault(job.owner_name or "", set()).add(job.name)
        return True

    def get_job(self, name: str) -> JobView | None:
        return self._jobs.get(name)

    def drop_job(self, name: str, uid: str) -> None:
        before = self._jobs.get(name)
        if before and before.uid == uid:
            del self._jobs[name]
            names = self._names_by_owner[before.owner_name or ""]
            names.discard(name)
            if not names:
                del self._names_by_owner[before.owner_name or ""]

    def job_versions(self) -> dict[str, int]:
        """The version of every Job, by its UID."""
        return {job.uid: job.resource_version for job in self._jobs.values()}

    def keep_pods(self, versions: Mapping[str, int], pods_by_job: Mapping[str, tuple[PodView, ...]]) -> None:
        """All pods there are, by UID of their Job, seen after the Jobs were in these versions."""
        self._pods = {uid: (version, pods_by_job.get(uid, ())) for uid, version in versions.items()}

    def take_pods(self, job: JobView) -> tuple[PodView, ...] | None:
        """The pods of one at work that were seen with all others, once; None when they must be asked for.

        What its own Job does not tell, such as why a pod waits, may have changed meanwhile.
        """
        version, pods = self._pods.pop(job.uid, (None, ()))
        return pods if version == job.resource_version and job.ready and not job.failed and not job.ended else None

    def jobs_of(self, name: str) -> list[JobView]:
        """The Jobs of all transcriptions that had that name."""
        return [self._jobs[job] for job in sorted(self._names_by_owner.get(name, ()))]

    def known(self) -> set[tuple[str, str]]:
        """Name and UID of every transcription."""
        return {(t.name, t.uid) for t in self._transcriptions.values()}

    def known_jobs(self) -> set[tuple[str, str]]:
        """Name and UID of every Job."""
        return {(job.name, job.uid) for job in self._jobs.values()}

    def all(self) -> Iterable[Transcription]:
        return self._transcriptions.values()

    def has_place(self, transcription: Transcription, max_active: int) -> bool:
        """Whether it is at work, or may be: there is room for one more, and it is this one's turn."""
        return max_active == 0 or is_active(transcription) or transcription.name in self.line.first(max_active)

    @contextmanager
    def place_taken(self, transcription: Transcription) -> Iterator[None]:
        """Its place is taken while its start is on the way to the cluster: nobody else gets it meanwhile."""
        name = transcription.name
        self._reserved.add(name)
        self.line.work(name, transcription.spec.tenant)
        try:
            yield
        finally:
            self._reserved.discard(name)
            if name in self._transcriptions:
                self._give_place(self._transcriptions[name])
            else:
                self.line.leave(name)

    def _give_place(self, transcription: Transcription) -> None:
        name, tenant = transcription.name, transcription.spec.tenant
        if is_active(transcription) or name in self._reserved:
            self.line.work(name, tenant)
        elif is_waiting(transcription):
            self.line.stand(name, tenant, transcription.created)
        else:
            self.line.leave(name)


def is_active(transcription: Transcription) -> bool:
    """Whether it has a Job, or is about to."""
    status = transcription.status
    return status.has_attempt and final_state(status) is None and not _is_out(transcription)


def is_waiting(transcription: Transcription) -> bool:
    """Whether it wants an attempt: it is new, to go on after a suspension, or failed and to be retried."""
    spec, status = transcription.spec, transcription.status
    if _is_out(transcription) or spec.cancel or spec.suspend:
        return False
    end = final_state(status)
    if end is None:
        return not status.has_attempt
    return end is State.FAILED and spec.retries > status.retries


def _is_out(transcription: Transcription) -> bool:
    return transcription.is_deleting or transcription.spec.managed_by is not None


def _version(transcription: Transcription) -> int:
    return int(transcription.resource_version)


def _life_sign(transcription: Transcription) -> tuple[str, Progress | None]:
    return transcription.uid, transcription.status.progress


def _essence(transcription: Transcription) -> Transcription:
    status = transcription.status.model_copy(update={"progress": None})
    return transcription.model_copy(update={"resource_version": "", "status": status})
