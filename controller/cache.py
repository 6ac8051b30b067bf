"""What the watches have shown last: live transcriptions and their Jobs, trimmed. Filled by handlers, loop, resync."""

from datetime import datetime

from controller.conditions import final_state
from controller.views import JobView
from crds.transcriptionjob import State, Transcription


class Cache:
    """Transcriptions and Jobs by name. An older version never replaces a newer one."""

    def __init__(self) -> None:
        self._transcriptions: dict[str, Transcription] = {}
        self._jobs: dict[str, JobView] = {}

    def __len__(self) -> int:
        return len(self._transcriptions)

    def put(self, transcription: Transcription) -> bool:
        """Keep it; whether anything but progress is new in it."""
        before = self._transcriptions.get(transcription.name)
        if before and before.uid == transcription.uid and _version(before) >= _version(transcription):
            return False
        self._transcriptions[transcription.name] = transcription
        return before is None or _essence(before) != _essence(transcription)

    def get(self, name: str) -> Transcription | None:
        return self._transcriptions.get(name)

    def drop(self, name: str, uid: str) -> bool:
        """Forget the transcription, unless another one has taken its name."""
        before = self._transcriptions.get(name)
        if before is None or before.uid != uid:
            return False
        del self._transcriptions[name]
        return True

    def put_job(self, job: JobView) -> bool:
        """Keep it; whether it is new."""
        before = self._jobs.get(job.name)
        if before and before.uid == job.uid and before.resource_version >= job.resource_version:
            return False
        self._jobs[job.name] = job
        return True

    def get_job(self, name: str) -> JobView | None:
        return self._jobs.get(name)

    def drop_job(self, name: str, uid: str) -> None:
        before = self._jobs.get(name)
        if before and before.uid == uid:
            del self._jobs[name]

    def forget_jobs(self) -> None:
        """Have every Job read again: a watch may have missed an end."""
        self._jobs.clear()

    def has_job_of(self, name: str) -> bool:
        """Whether a Job of a transcription of that name was seen."""
        return any(job.owner_name == name for job in self._jobs.values())

    def known(self) -> set[tuple[str, str]]:
        """Name and UID of every transcription."""
        return {(t.name, t.uid) for t in self._transcriptions.values()}

    def count_active(self) -> int:
        """How many have a Job, or are about to."""
        return sum(1 for t in self._transcriptions.values() if _is_active(t))

    def waiting_in_order(self) -> list[str]:
        """Those that want an attempt, oldest first."""
        return [t.name for t in sorted(filter(_is_waiting, self._transcriptions.values()), key=_place)]

    def has_place(self, transcription: Transcription, max_active: int) -> bool:
        """Whether one more may start, and it is this one's turn."""
        if max_active == 0 or _is_active(transcription):
            return True
        free = max_active - self.count_active()
        return free > 0 and transcription.name in self.waiting_in_order()[:free]


def _version(transcription: Transcription) -> int:
    return int(transcription.resource_version)


def _is_active(transcription: Transcription) -> bool:
    status = transcription.status
    return status.attempt > 0 and final_state(status) is None and not transcription.is_deleting


def _is_waiting(transcription: Transcription) -> bool:
    """New, or failed and to be retried."""
    spec, status = transcription.spec, transcription.status
    if transcription.is_deleting:
        return False
    end = final_state(status)
    if end is None:
        return status.attempt == 0
    return end is State.FAILED and spec.retries > status.retries and not spec.cancel


def _place(transcription: Transcription) -> tuple[datetime, str]:
    return (transcription.created, transcription.name)


def _essence(transcription: Transcription) -> Transcription:
    status = transcription.status.model_copy(update={"progress": None})
    return transcription.model_copy(update={"resource_version": "", "status": status})
