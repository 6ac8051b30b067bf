"""What the environment tells the worker. Read once, by `process`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from crds.addresses import AllowedHosts
from crds.callback import SigningSecret
from crds.worker import WorkerTask
from worker.errors import InvalidTaskError

LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)]


class WorkerSettings(BaseSettings):
    """S3 keys are not here: boto3 finds AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a cloud identity, by itself."""

    model_config = SettingsConfigDict(
        env_prefix="WORKER_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    task: WorkerTask = Field(description="What to do, as JSON of crds.worker.WorkerTask.")
    pod_uid: str = Field(description="This pod's UID, which every progress report carries.")
    s3_region: str = Field(default="us-east-1", description="Region of the bucket.")
    s3_endpoint: str | None = Field(default=None, description="URL of the S3 server; AWS when unset.")
    s3_path_style: bool = Field(default=False, description="Bucket name in the path instead of the host name.")
    callback_secret: SigningSecret | None = Field(default=None, description="whsec_ secret that signs the callback.")
    callback_previous_secret: SigningSecret | None = Field(
        default=None, description="The secret before it: signs too, while they change."
    )
    callback_allowed_hosts: Annotated[AllowedHosts, NoDecode] = Field(
        default=(), description="Hosts and networks inside that the callback may go to, comma separated."
    )
    model_dir: Path = Field(default=Path("/models"), description="Folder of <name>.pt models.")
    model_download: bool = Field(
        default=False, description="Whether a model of whisper's that is not there is downloaded; else nothing ever is."
    )
    max_input_bytes: int = Field(default=10 * 1024**3, gt=0, description="Largest media file that is fetched.")
    max_audio_seconds: float = Field(
        default=4 * 3600,
        gt=0,
        description="Longest audio that is transcribed; 4 h take 1.2 GB of scratch beside the file.",
    )
    sandbox: Literal["required", "best-effort"] = Field(
        default="required",
        description="Whether a file is read on a kernel that cannot hide the other files from ffmpeg (Landlock).",
    )
    log_level: LogLevel = Field(default="INFO", description="Least level that is logged, in upper or lower case.")


def read_settings() -> WorkerSettings:
    """The settings, from the environment; InvalidTaskError when they do not fit."""
    try:
        return WorkerSettings()
    except (SettingsError, ValidationError) as error:
        raise InvalidTaskError(f"the environment does not describe a task: {error}") from error
