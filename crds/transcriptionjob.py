"""The typed view of the TranscriptionJob resource, its labels, states and conditions.

Used by api, controller and worker. transcriptionjobs.yaml holds the caps.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "transcription.ecg.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TranscriptionJob"
PLURAL = "transcriptionjobs"

MANAGED_BY = "transcription-controller"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
NAME_LABEL = f"{GROUP}/name"
UID_LABEL = f"{GROUP}/uid"
ATTEMPT_LABEL = f"{GROUP}/attempt"
TENANT_LABEL = f"{GROUP}/tenant"
SETTLED_LABEL = f"{GROUP}/settled"
"""Set to "true" by the controller when nothing is left to do; its watch leaves such resources out.

Whoever raises retries or redeliveries removes it in the same patch, and the resource is seen again at once.
"""

OUTPUTS_FINALIZER = f"{GROUP}/outputs"
"""Held by resources with deleteOutputs, so that their files go first."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Kueue takes Jobs with it into its queues: https://kueue.sigs.k8s.io/docs/tasks/run/jobs/"""

REQUEST_ANNOTATION = f"{GROUP}/request"
"""Digest of what was asked over REST: the same id with the same digest is the same transcription."""

NAME_PATTERN = r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?"
"""An RFC 1123 label of at most 52 characters; use with re.fullmatch."""

Format = Literal["json", "txt", "srt", "vtt", "tsv"]
FORMATS: tuple[Format, ...] = ("json", "txt", "srt", "vtt", "tsv")
Task = Literal["transcribe", "translate"]
EngineName = Literal["auto", "batched", "quality"]


class State(StrEnum):
    """Where a transcription stands, for people; never an input to a decision."""

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Stage(StrEnum):
    """What the worker does now."""

    STARTING = "Starting"
    DOWNLOADING = "Downloading"
    LOADING_MODEL = "LoadingModel"
    TRANSCRIBING = "Transcribing"
    SAVING = "Saving"
    DELIVERING = "Delivering"


class ConditionType(StrEnum):
    ACCEPTED = "Accepted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    SUSPENDED = "Suspended"
    FINISHED = "Finished"
    CALLBACK_DELIVERED = "CallbackDelivered"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class CallbackState(StrEnum):
    PENDING = "Pending"
    DELIVERED = "Delivered"
    FAILED = "Failed"


class Value(BaseModel):
    """A frozen part of the resource: camelCase in YAML and JSON, snake_case in Python, unknown fields refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_manifest(self) -> dict[str, Any]:
        """The fields that are set, by their YAML names, as JSON types."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Observed(Value):
    """A part that the cluster hands us; fields of a newer version are ignored."""

    model_config = ConfigDict(extra="ignore")


class Source(Observed):
    bucket: str
    key: str
    etag: str | None = None


class Callback(Observed):
    url: str


class Resources(Observed):
    gpu: int = 1
    gpu_resource: str = "nvidia.com/gpu"


class Limits(Observed):
    attempts: int = 3
    queue_seconds: int = 86400
    run_seconds: int = 43200
    total_seconds: int = 604800


class Spec(Value):
    """What is wanted."""

    source: Source
    model: str | None = None
    language: str | None = None
    language_options: tuple[str, ...] | None = None
    task: Task = "transcribe"
    word_timestamps: bool = False
    initial_prompt: str | None = None
    formats: tuple[Format, ...] = FORMATS
    engine: EngineName = "auto"
    callback: Callback | None = None
    resources: Resources = Resources()
    tenant: str = "anonymous"
    queue_name: str | None = None
    managed_by: str | None = None
    priority: str | None = None
    limits: Limits = Limits()
    ttl_seconds_after_finished: int | None = None
    delete_outputs: bool = False
    suspend: bool = False
    cancel: bool = False
    retries: int = 0
    redeliveries: int = 0
    metadata: Mapping[str, str] | None = None


class Condition(Observed):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str | None = None
    observed_generation: int | None = None
    last_transition_time: AwareDatetime


class JobRef(Observed):
    name: str
    uid: str | None = None


class Progress(Observed):
    """How far the worker is. Seconds are seconds of audio; eta_seconds is seconds of time."""

    pod_uid: str = Field(alias="podUID")
    attempt: int
    percent: int | None = None
    stage: Stage | None = None
    processed_seconds: float | None = None
    total_seconds: float | None = None
    eta_seconds: float | None = None
    realtime_factor: float | None = None
    note: str | None = None
    last_update_time: AwareDatetime | None = None


class Result(Observed):
    """Pointer to the stored transcript; sha256 and bytes are those of the JSON file."""

    key: str
    sha256: str
    bytes: int
    formats: tuple[Format, ...]
    language: str | None = None
    duration_seconds: float | None = None
    segments: int | None = None

    def key_of(self, output: Format) -> str:
        """The S3 key of one format: beside the JSON, under its own ending."""
        return f"{self.key.removesuffix('.json')}.{output}"


class Failure(Observed):
    reason: str
    message: str
    retryable: bool
    exit_code: int | None = None


class CallbackRecord(Observed):
    """The outbox row of one transcription."""

    state: CallbackState
    id: str
    attempts: int = 0
    last_status_code: int | None = None
    last_attempt_time: AwareDatetime | None = None
    next_attempt_time: AwareDatetime | None = None


class Status(Observed):
    """What is so. Written by the controller, but for progress, result and the first callback row."""

    observed_generation: int | None = None
    state: State | None = None
    message: str | None = None
    waiting_reason: str | None = None
    attempt: int = 0
    tries: int = 0
    replacements: int = 0
    avoid_nodes: tuple[str, ...] = ()
    retries: int = 0
    redeliveries: int = 0
    settled: bool | None = None
    job_ref: JobRef | None = None
    pod_name: str | None = None
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    progress: Progress | None = None
    result: Result | None = None
    failure: Failure | None = None
    callback: CallbackRecord | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def has_attempt(self) -> bool:
        """Whether an attempt was started that no suspension has ended."""
        return self.attempt > 0 and self.job_ref is not None

    def condition(self, type_: ConditionType) -> Condition | None:
        return next((c for c in self.conditions if c.type == type_), None)


class ObservedSpec(Spec):
    model_config = ConfigDict(extra="ignore")


class Transcription(Observed):
    """One TranscriptionJob as read from the cluster."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    is_deleting: bool
    labels: Mapping[str, str]
    finalizers: tuple[str, ...] = ()
    spec: ObservedSpec
    status: Status

    @property
    def path(self) -> str:
        """How logs name it."""
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Self:
        """A resource as the API server sends it; pydantic.ValidationError when it does not fit the schema."""
        meta = manifest["metadata"]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            resource_version=meta["resourceVersion"],
            created=datetime.fromisoformat(meta["creationTimestamp"]),
            is_deleting="deletionTimestamp" in meta,
            labels=meta.get("labels") or {},
            finalizers=tuple(meta.get("finalizers") or ()),
            spec=ObservedSpec.model_validate(manifest["spec"]),
            status=Status.model_validate(manifest.get("status") or {}),
        )


def build_transcription(
    name: str, namespace: str, spec: Spec, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The manifest to create; the API server fills in the defaults."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {TENANT_LABEL: spec.tenant}}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec.to_manifest()}
