"""Jobs and pods as the controller sees them: the few facts it decides by, parsed from what the API server sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from crds.transcriptionjob import NAME_LABEL
from crds.worker import CONTAINER_NAME


@dataclass(frozen=True, slots=True)
class JobView:
    """A batch Job."""

    name: str
    uid: str
    resource_version: int
    created: datetime
    owner_uid: str | None
    owner_name: str | None
    is_deleting: bool
    is_suspended: bool
    ready: int
    failed: int
    ended: str | None
    """Complete or Failed, once every pod of it is gone or done."""
    ended_reason: str | None
    started: datetime | None

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left to do about it: it has ended and goes by itself, or is on its way out."""
        return self.is_deleting or self.ended is not None

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Self:
        """A Job as the API server sends it."""
        meta, status = manifest["metadata"], manifest.get("status") or {}
        owner: Mapping[str, Any] = next((o for o in meta.get("ownerReferences") or [] if o.get("controller")), {})
        end: Mapping[str, Any] = next((c for c in status.get("conditions") or [] if _is_end(c)), {})
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            resource_version=int(meta["resourceVersion"]),
            created=datetime.fromisoformat(meta["creationTimestamp"]),
            owner_uid=owner.get("uid"),
            owner_name=owner.get("name"),
            is_deleting="deletionTimestamp" in meta,
            is_suspended=bool(manifest["spec"].get("suspend")),
            ready=status.get("ready") or 0,
            failed=status.get("failed") or 0,
            ended=end.get("type"),
            ended_reason=end.get("reason"),
            started=_parse_time(status.get("startTime")),
        )


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a Job, with the worker's container."""

    name: str
    phase: str
    created: datetime
    reason: str | None = None
    node: str | None = None
    is_ready: bool = False
    is_unschedulable: bool = False
    waiting_reason: str | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    termination_message: str | None = None
    started: datetime | None = None
    finished: datetime | None = None

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Self:
        """A pod as the API server sends it."""
        meta, status = manifest["metadata"], manifest.get("status") or {}
        state = _container_state(status)
        terminated = state.get("terminated") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or []}
        return cls(
            name=meta["name"],
            phase=status.get("phase") or "Pending",
            created=datetime.fromisoformat(meta["creationTimestamp"]),
            reason=status.get("reason"),
            node=manifest["spec"].get("nodeName"),
            is_ready=conditions.get("Ready", {}).get("status") == "True",
            is_unschedulable=conditions.get("PodScheduled", {}).get("reason") == "Unschedulable",
            waiting_reason=(state.get("waiting") or {}).get("reason"),
            exit_code=terminated.get("exitCode"),
            exit_reason=terminated.get("reason"),
            termination_message=terminated.get("message"),
            started=_parse_time((state.get("running") or {}).get("startedAt")),
            finished=_parse_time(terminated.get("finishedAt")),
        )

    @property
    def is_over(self) -> bool:
        """Whether its worker has ended; the phase follows a moment later."""
        return self.phase in {"Succeeded", "Failed"} or self.exit_code is not None

    @property
    def is_at_work(self) -> bool:
        """Whether its worker runs, as far as is known: the pod of a lost node says so too, but it is not ready."""
        return self.phase == "Running" and not self.is_over

    @property
    def age_key(self) -> tuple[datetime, datetime]:
        """Sorts pods by when they ended, or were made when that is not known."""
        return (self.finished or self.created, self.created)


def parse_transcription_name(manifest: Mapping[str, Any]) -> str | None:
    """Whose Job this is, by its label."""
    labels: Mapping[str, str] = manifest["metadata"].get("labels") or {}
    return labels.get(NAME_LABEL)


def _is_end(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") in {"Complete", "Failed"} and condition.get("status") == "True"


def _container_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = status.get("containerStatuses") or []
    worker: Mapping[str, Any] = next((c for c in containers if c.get("name") == CONTAINER_NAME), {})
    return worker.get("state") or {}


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
