"""What the controller gives the worker, and what comes back. The controller builds it, the worker parses it."""

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from crds.reasons import Reason
from crds.transcriptionjob import EngineName, Format, Result, Source, Task, Value

CONTAINER_NAME = "worker"
TASK_ENV = "WORKER_TASK"
POD_UID_ENV = "WORKER_POD_UID"
S3_REGION_ENV = "WORKER_S3_REGION"
S3_ENDPOINT_ENV = "WORKER_S3_ENDPOINT"
S3_PATH_STYLE_ENV = "WORKER_S3_PATH_STYLE"
CALLBACK_SECRET_ENV = "WORKER_CALLBACK_SECRET"  # noqa: S105  # a name
CALLBACK_PREVIOUS_SECRET_ENV = "WORKER_CALLBACK_PREVIOUS_SECRET"  # noqa: S105  # a name
CALLBACK_ALLOWED_HOSTS_ENV = "WORKER_CALLBACK_ALLOWED_HOSTS"
LOG_LEVEL_ENV = "WORKER_LOG_LEVEL"
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
TERMINATION_MESSAGE_BYTES = 4096


class Target(Value):
    """The resource that the worker reports to."""

    namespace: str
    name: str
    uid: str
    attempt: int


class WorkerTask(Value):
    """One transcription, whole; the value of WORKER_TASK as JSON.

    The source may lie in any bucket; results go to the installation's own. `model` is a name or a path, never None:
    the controller has put the installation's default in place. `callback_url` None means that nobody is told.
    `callback_id` is the webhook-id.
    """

    target: Target
    source: Source
    model: str
    language: str | None = None
    language_options: tuple[str, ...] | None = None
    engine: EngineName = "auto"
    task: Task = "transcribe"
    word_timestamps: bool = False
    initial_prompt: str | None = None
    formats: tuple[Format, ...]
    result_bucket: str
    result_prefix: str
    callback_url: str | None = None
    callback_id: str
    metadata: Mapping[str, str] | None = None
    progress_interval_seconds: float = 10.0


class Fault(Value):
    reason: Reason
    message: str


class Outcome(Value):
    """The termination message: exactly one of result and failure, as JSON of at most 4096 bytes."""

    result: Result | None = None
    failure: Fault | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.result is None) == (self.failure is None):
            raise ValueError("exactly one of result and failure is set")
        return self


def build_job_name(name: str, attempt: int) -> str:
    """The Job of an attempt; its pods are named after it, which the admission policy relies on."""
    return f"{name}-{attempt}"


def build_outputs_prefix(namespace: str, name: str, uid: str) -> str:
    """Where all attempts of a transcription store their files; the UID keeps a deleted and re-made id apart."""
    return f"transcripts/{namespace}/{name}/{uid}/"


def build_result_prefix(namespace: str, name: str, uid: str, attempt: int) -> str:
    """Where one attempt stores its files."""
    return f"{build_outputs_prefix(namespace, name, uid)}{attempt}/"


def build_callback_id(uid: str, attempt: int) -> str:
    """The webhook-id: the same on every try of one attempt's callback."""
    return f"msg_{uid}_{attempt}"
