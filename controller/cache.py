"""What the watches have shown last: live transcriptions and their Jobs, trimmed. Filled by handlers and the loop."""

from datetime import datetime

from controller.conditions import final_state
from controller.views import JobView
from crds.transcriptionjob import Transcription


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

    def names(self) -> list[str]:
        return list(self._transcriptions)

    def count_active(self) -> int:
        """How many have a Job, or are about to."""
        return sum(1 for t in self._transcriptions.values() if t.status.attempt > 0 and final_state(t.status) is None)

    def waiting_in_order(self) -> list[str]:
        """Those without an attempt, oldest first."""
        line = [t for t in self._transcriptions.values() if t.status.attempt == 0 and final_state(t.status) is None]
        return [t.name for t in sorted(line, key=_place)]

    def has_place(self, transcription: Transcription, max_active: int) -> bool:
        """Whether one more may start, and it is this one's turn."""
        if max_active == 0 or transcription.status.attempt > 0:
            return True
        free = max_active - self.count_active()
        return free > 0 and transcription.name in self.waiting_in_order()[:free]


def _version(transcription: Transcription) -> int:
    return int(transcription.resource_version)


def _place(transcription: Transcription) -> tuple[datetime, str]:
    return (transcription.created, transcription.name)


def _essence(transcription: Transcription) -> Transcription:
    status = transcription.status.model_copy(update={"progress": None})
    return transcription.model_copy(update={"resource_version": "", "status": status})
