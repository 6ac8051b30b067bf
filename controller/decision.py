"""What a decision rests on and what it says: facts and steps. Built by reconcile, performed by the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.delivery import Report
from controller.views import JobView, PodView
from crds.transcriptionjob import Status, Transcription


@dataclass(frozen=True, slots=True)
class Policy:
    """What the installation wants."""

    callback_url: str | None
    retry_schedule: Sequence[float]
    default_model: str


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision rests on."""

    transcription: Transcription
    job: JobView | None = None
    pods: tuple[PodView, ...] = ()
    report: Report | None = None
    has_place: bool = True


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
class ExpireJob:
    job: JobView


@dataclass(frozen=True, slots=True)
class Settle:
    """Put the label on that takes the transcription out of the watch."""


@dataclass(frozen=True, slots=True)
class Unsettle:
    """Take the label off again: there is work."""


Step = PatchStatus | CreateJob | DeleteJob | ExpireJob | Settle | Unsettle


@dataclass(frozen=True, slots=True)
class Decision:
    """Steps in the order they must be done, when to look again, and whether the callback is due."""

    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None
    deliver: bool = False
