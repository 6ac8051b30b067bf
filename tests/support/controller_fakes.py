"""Builders and fakes of the controller's tests."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.conditions import enter, is_suspended
from controller.decision import Decision, PatchStatus, Policy, Seen, Settle, Step, Unsettle
from controller.settings import ControllerSettings
from controller.views import JobView, PodView
from crds.transcriptionjob import SETTLED_LABEL, Condition, JobRef, Result, State, Status, Transcription
from crds.worker import Fault, Outcome, build_job_name

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
HEARTBEAT = timedelta(minutes=5)
POLICY = Policy("http://api/result", (5, 60), "demo", HEARTBEAT)
SILENT = Policy(None, (), "demo", HEARTBEAT)
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
    return parsed.model_copy(update={"status": _with_job(name, status or Status()), "labels": labels or {}})


def _with_job(name: str, status: Status) -> Status:
    """Every attempt has its Job on record, unless it was suspended."""
    if status.attempt == 0 or status.job_ref is not None or is_suspended(status):
        return status
    return status.model_copy(update={"job_ref": JobRef(name=build_job_name(name, status.attempt))})


def a_job(**changes: Any) -> JobView:
    job = JobView(
        name="clip-1",
        uid="job-uid",
        resource_version=1,
        created=NOW,
        owner_uid=UID,
        owner_name="clip",
        is_deleting=False,
        is_suspended=False,
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
        if isinstance(step, Unsettle):
            transcription = transcription.model_copy(update={"labels": {}})
    return transcription


def status_of(decision: Decision) -> Status:
    return next(step.status for step in decision.steps if isinstance(step, PatchStatus))


def names(decision: Decision) -> list[str]:
    return [type(step).__name__ for step in decision.steps]


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


def final(state: State, **changes: Any) -> Status:
    """A status with that final state latched, by way of decide()."""
    running = a_transcription(Status(attempt=1))
    return enter(running, state, "It ended.", str(state), NOW).model_copy(update={"completion_time": NOW} | changes)
