"""TranscriptionJobs as the cluster tests make, watch and clear them away, with all that hangs on them."""

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crds.transcriptionjob import API_VERSION, KIND, Format, Stage, Status, Transcription
from crds.worker import build_job_name
from tests.support.bucket import Bucket
from tests.support.kubectl import Kubectl, Manifest, Watch
from tests.support.service import Document, Service

TJ = "transcriptionjob"


def an_id(purpose: str) -> str:
    """A job id that no other test and no earlier run has used."""
    return f"{purpose}-{secrets.token_hex(4)}"


def status_of(manifest: Manifest) -> Status:
    return Transcription.parse(manifest).status


def is_final(manifest: Manifest) -> bool:
    state = status_of(manifest).state
    return state is not None and state.is_final


def is_transcribing(at_least_percent: int) -> Callable[[Manifest], bool]:
    """Whether the worker is in the middle of its work, at least so far."""

    def look(manifest: Manifest) -> bool:
        progress = status_of(manifest).progress
        return (
            progress is not None
            and progress.stage is Stage.TRANSCRIBING
            and (progress.percent or 0) >= at_least_percent
        )

    return look


@dataclass
class Transcriptions:
    """Knows what one test made: through REST, with kubectl, and in the bucket."""

    kubectl: Kubectl
    bucket: Bucket
    service: Service
    names: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def at(self, place: Kubectl) -> "Transcriptions":
        """Those of another namespace; their files are cleared with these."""
        return Transcriptions(place, self.bucket, self.service, keys=self.keys)

    def store(self, media: Path | bytes, name: str) -> str:
        """Put a file into the bucket without REST; returns its key."""
        key = f"videos/anonymous/tests/{secrets.token_hex(4)}/{name}"
        self.keys.append(key)
        self.bucket.put(key, media if isinstance(media, bytes) else media.read_bytes())
        return key

    def create(self, name: str, key: str, **spec: Any) -> Manifest:
        """Make the resource as a kubectl user does."""
        self.names.append(name)
        source = {"bucket": self.bucket.name, "key": key}
        return self.kubectl.create(
            {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {"source": source, **spec}}
        )

    def start(self, name: str, media: Path, **options: Any) -> str:
        """Upload a file and start it under that id, all through REST."""
        self.service.process_video(name, self.service.upload(media)["video_url"], **options)
        return name

    def read(self, name: str) -> Transcription:
        manifest = self.kubectl.get(TJ, name)
        assert manifest is not None, f"there is no {TJ} {name}"
        return Transcription.parse(manifest)

    def watch(self, name: str) -> AbstractContextManager[Watch]:
        return self.kubectl.watch(TJ, name)

    def wait_until_finished(self, name: str, timeout_seconds: float) -> Transcription:
        self.kubectl.wait(f"{TJ}/{name}", "condition=Finished", timeout_seconds)
        return self.read(name)

    def pods(self, name: str, attempt: int = 1) -> list[Manifest]:
        """The pods of an attempt that are there now, ended ones too."""
        return self.kubectl.list("pod", f"batch.kubernetes.io/job-name={build_job_name(name, attempt)}")

    def job(self, name: str, attempt: int = 1) -> Manifest | None:
        return self.kubectl.get("job", build_job_name(name, attempt))

    def output(self, name: str, form: Format) -> bytes:
        """A stored transcript; fails when there is none."""
        result = self.read(name).status.result
        assert result is not None, f"{name} has no result"
        return self.bucket.read(result.key_of(form))

    def clear(self) -> None:
        """Delete the resources, and every object that was uploaded for them or written by them."""
        names = [*self.names, *self.service.ids]
        if names:
            self.kubectl.delete(TJ, *names)
        for name in names:
            for folder in ("transcripts", "callbacks"):
                self.bucket.delete(*self.bucket.list(f"{folder}/{self.kubectl.namespace}/{name}/"))
        self.bucket.delete(*self.keys, *self.service.keys)


@dataclass(frozen=True)
class Run:
    """A transcription that came to its end: each state that the watch showed, and each answer of REST."""

    transcriptions: Transcriptions
    end: Transcription
    states: list[Manifest]
    answers: list[Document]

    @property
    def name(self) -> str:
        return self.end.name
