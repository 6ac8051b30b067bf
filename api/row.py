"""What the API keeps of each TranscriptionJob: a row of 1 to 2 KB. Pure.

Made by store; read by all who answer.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

from crds.transcriptionjob import REQUEST_ANNOTATION, CallbackState, Format, Stage, State

_OBSERVED = ConfigDict(alias_generator=to_camel, extra="ignore")
"""As crds.transcriptionjob.Observed; slotted dataclasses take a quarter of a model's memory and time."""

Place = tuple[datetime, str]
"""Where a row stands among all, by age."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of crds.transcriptionjob.Progress what answers need."""

    __pydantic_config__ = _OBSERVED

    attempt: int
    percent: int | None = None
    stage: Stage | None = None
    processed_seconds: float | None = None
    total_seconds: float | None = None
    eta_seconds: float | None = None
    realtime_factor: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Of crds.transcriptionjob.Result what answers need."""

    __pydantic_config__ = _OBSERVED

    key: str
    formats: tuple[Format, ...]
    language: str | None = None
    duration_seconds: float | None = None

    def key_of(self, output: Format) -> str:
        """The S3 key of one format: beside the JSON, under its own ending."""
        return f"{self.key.removesuffix('.json')}.{output}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Of crds.transcriptionjob.Failure what answers need."""

    __pydantic_config__ = _OBSERVED

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """Of crds.transcriptionjob.CallbackRecord what answers need."""

    __pydantic_config__ = _OBSERVED

    state: CallbackState
    attempts: int = 0
    last_status_code: int | None = None
    last_attempt_time: AwareDatetime | None = None
    next_attempt_time: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    __pydantic_config__ = _OBSERVED

    key: str


@dataclass(frozen=True, slots=True)
class _Spec:
    __pydantic_config__ = _OBSERVED

    source: _Source
    model: str | None = None
    tenant: str = "anonymous"
    cancel: bool = False
    retries: int = 0
    redeliveries: int = 0
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Status:
    __pydantic_config__ = _OBSERVED

    state: State | None = None
    message: str | None = None
    waiting_reason: str | None = None
    attempt: int = 0
    retries: int = 0
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    progress: Progress | None = None
    result: Result | None = None
    failure: Failure | None = None
    callback: CallbackRecord | None = None


_SPEC = TypeAdapter(_Spec)
_STATUS = TypeAdapter(_Status)


@dataclass(frozen=True, slots=True)
class Row:
    """One transcription, as far as answers need it."""

    namespace: str
    name: str
    uid: str
    version: int
    created: datetime
    is_deleting: bool
    request_digest: str | None
    tenant: str
    source_key: str
    model: str | None
    metadata: Mapping[str, str] | None
    cancel: bool
    retries: int
    redeliveries: int
    state: State
    message: str | None
    waiting_reason: str | None
    attempt: int
    started: datetime | None
    completed: datetime | None
    progress: Progress | None
    result: Result | None
    failure: Failure | None
    callback: CallbackRecord | None

    @property
    def place(self) -> Place:
        return self.created, self.name

    @property
    def path(self) -> str:
        """How logs name it."""
        return f"{self.namespace}/{self.name}"


def parse_row(manifest: Mapping[str, Any]) -> Row:
    """A resource as the API server sends it; pydantic.ValidationError when it does not fit the schema."""
    meta = manifest["metadata"]
    spec = _SPEC.validate_python(manifest["spec"])
    status = _STATUS.validate_python(manifest.get("status") or {})
    if status.state is State.FAILED and spec.retries > status.retries and not spec.cancel:
        status = _forget_failure(status)
    return Row(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        is_deleting="deletionTimestamp" in meta,
        request_digest=(meta.get("annotations") or {}).get(REQUEST_ANNOTATION),
        tenant=sys.intern(spec.tenant),
        source_key=spec.source.key,
        model=spec.model and sys.intern(spec.model),
        metadata=spec.metadata,
        cancel=spec.cancel,
        retries=spec.retries,
        redeliveries=spec.redeliveries,
        state=status.state or State.PENDING,
        message=status.message,
        waiting_reason=status.waiting_reason,
        attempt=status.attempt,
        started=status.start_time,
        completed=status.completion_time,
        progress=status.progress,
        result=status.result,
        failure=status.failure,
        callback=status.callback,
    )


def _forget_failure(status: _Status) -> _Status:
    """One that is to be retried has not ended, whether or not the controller has seen the wish yet.

    One that was cancelled before the controller saw it stays failed.
    """
    return _Status(state=State.PENDING, attempt=status.attempt, retries=status.retries, start_time=status.start_time)
