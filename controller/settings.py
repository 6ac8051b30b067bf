"""All settings of the controller: environment variables that start with CONTROLLER_. Built once by __main__."""

import socket
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crds.addresses import Allowed, AllowedHosts
from crds.callback import SigningSecret, reveal

STANDARD_SCHEDULE = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


class PodResources(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class WorkerPod(BaseModel):
    """What the installation adds to every worker pod, by the names that Kubernetes uses."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    image_pull_secrets: tuple[dict[str, str], ...] = ()
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = {}
    resources: PodResources = PodResources()
    runtime_class_name: str = ""
    priority_class_name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    volumes: tuple[dict[str, Any], ...] = ()
    volume_mounts: tuple[dict[str, Any], ...] = ()
    env: tuple[dict[str, Any], ...] = ()


class ControllerSettings(BaseSettings):
    """Settings of the controller and of the workers that it starts."""

    model_config = SettingsConfigDict(
        env_prefix="CONTROLLER_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    namespace: str = Field(description="The namespace whose transcriptions are looked after.")
    s3_bucket: str = Field(description="Bucket with uploads and transcripts.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_endpoint: str | None = Field(None, description="S3 endpoint that pods reach; none means AWS.")
    s3_path_style: bool = Field(False, description="Put the bucket into the path instead of the host name.")
    default_model: str = Field("demo", description="Whisper model of requests that name none.")
    callback_url: str | None = Field(None, description="Where callbacks go when a request names no URL.")
    callback_secret: SigningSecret | None = Field(None, description="Signs callbacks: whsec_ and base64.")
    callback_previous_secret: SigningSecret | None = Field(
        None, description="The secret before it: signs too, until every receiver knows the new one."
    )
    callback_secret_name: str | None = Field(
        None, description="Secret whose key `secret` signs the workers' callbacks."
    )
    callback_allowed_hosts: Annotated[AllowedHosts, NoDecode] = Field(
        (), description="Hosts and networks inside that callbacks may go to, comma separated."
    )
    callback_retry_schedule: Annotated[tuple[float, ...], NoDecode] = Field(
        STANDARD_SCHEDULE, description="Seconds between the tries of a callback, comma separated."
    )
    progress_interval_seconds: float = Field(
        10, gt=0, description="Least time between two progress writes of a worker."
    )
    max_active: int = Field(0, ge=0, description="How many transcriptions may have a Job at once; 0 is no limit.")
    heartbeat_seconds: float = Field(
        300, gt=0, description="How long a worker may be silent before another attempt takes its place."
    )
    ttl_seconds_after_finished: int | None = Field(
        None, ge=0, description="When finished transcriptions that do not say so are deleted; none keeps them."
    )
    resync_seconds: float = Field(300, gt=0, description="How often all live transcriptions are looked at again.")
    worker_image: str = Field(description="Image of the worker.")
    worker_image_pull_policy: str = Field("IfNotPresent", description="Pull policy of that image.")
    worker_service_account: str = Field(description="ServiceAccount of the worker pods.")
    worker_s3_secret: str | None = Field(None, description="Secret with the worker's AWS_* variables.")
    worker_pod: WorkerPod = Field(WorkerPod(), description="Additions to every worker pod, as JSON.")
    lease_name: str | None = Field(
        None, description="Lease that decides which controller works; none: this one does, and must be the only one."
    )
    instance: str = Field(default_factory=socket.gethostname, description="Who reports Events: the name of the pod.")
    log_level: str = Field("INFO", description="Least level that is logged, here and in workers.")
    health_port: int = Field(8081, description="Port of /healthz.")
    metrics_port: int = Field(9090, description="Port of /metrics.")

    @field_validator("callback_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        Allowed.parse([_host_of(url)] if url else [])
        return url

    @field_validator("callback_retry_schedule", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("callback_retry_schedule")
    @classmethod
    def _check_schedule(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(seconds < 0 for seconds in value):
            raise ValueError("seconds between tries are not negative")
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """What signs callbacks: two while they change, none when they are not signed."""
        return reveal(self.callback_secret, self.callback_previous_secret)

    def allowed_hosts(self, url: str | None) -> tuple[str, ...]:
        """What a callback to this URL may reach inside: the host of the installation's own URL, if it is that one."""
        own = (_host_of(url),) if url is not None and url == self.callback_url else ()
        return self.callback_allowed_hosts + own


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""
