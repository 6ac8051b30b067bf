"""What a decision rests on and what it says: facts and steps. Built by reconcile, performed by the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.delivery import Report
from controller.views import JobView, PodView
from crds.transcriptionjob import Result, Status, Transcription


@dataclass(frozen=True, slots=True)
class Policy:
    """What the installation wants."""

    callback_url: str | None
    retry_schedule: Sequence[float]
    default_model: str
    heartbeat: timedelta
    """How long a worker may be silent before it is replaced."""
    ttl: timedelta | None = None
    """How long finished transcriptions stay that do not say so themselves; None keeps them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision rests on."""

    transcription: Transcription
    job: JobView | None = None
    """Of the present attempt."""
    others: tuple[JobView, ...] = ()
    """Jobs of attempts before it."""
    pods: tuple[PodView, ...] = ()
    report: Report | None = None
    has_place: bool = True
    heard: datetime | None = None
    """When this process last heard of the worker."""
    refusal: str | None = None
    """What the cluster said when it refused to make a pod."""
    stored: Result | None = None
    """What lies in S3 though no pod's word of it is left."""


@dataclass(frozen=True, slots=True)
class PatchStatus:
    status: Status


@dataclass(frozen=True, slots=True)
class CreateJob:
    attempt: int


@dataclass(frozen=True, slots=True)
class DeleteJob:
    job: JobView


@dataclass(frozen=True, slots=True)
class Settle:
    """Put the label on that takes the transcription out of the watch."""


@dataclass(frozen=True, slots=True)
class Unsettle:
    """Take the label off again: there is work."""


@dataclass(frozen=True, slots=True)
class HoldOutputs:
    """Put the finalizer on that keeps the resource until its files are gone."""


@dataclass(frozen=True, slots=True)
class ReleaseOutputs:
    """Take the finalizer off."""


@dataclass(frozen=True, slots=True)
class DeleteOutputs:
    """Delete the files of all attempts."""


@dataclass(frozen=True, slots=True)
class DeleteTranscription:
    """Its time is over: delete the resource, and with it what it owns."""


Step = (
    PatchStatus
    | CreateJob
    | DeleteJob
    | Settle
    | Unsettle
    | HoldOutputs
    | ReleaseOutputs
    | DeleteOutputs
    | DeleteTranscription
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Steps in the order they must be done, when to look again, and whether the callback is due."""

    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None
    deliver: bool = False
