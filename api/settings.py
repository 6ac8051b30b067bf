"""What an installation sets, read from API_* environment variables. Built once, in __main__."""

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crds.callback import SigningSecret

MIB = 1024 * 1024

_ENDPOINT = re.compile(r"https?://[^/?#@\s]+")


class ApiSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="API_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    namespace: str = Field("transcription", description="Namespace of the TranscriptionJobs.")
    s3_bucket: str = Field(description="Bucket of uploads, transcripts and callbacks.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_endpoint: str | None = Field(None, description="S3 endpoint that pods use; unset means AWS.")
    s3_public_endpoint: str | None = Field(None, description="S3 endpoint that browsers use; unset means s3_endpoint.")
    s3_path_style: bool = Field(False, description="Put the bucket into the path instead of the host name.")
    upload_expiry_seconds: int = Field(900, ge=1, le=604800, description="How long an upload URL works.")
    max_upload_bytes: int = Field(5 * 1024 * MIB, ge=1, description="Largest file that is accepted.")
    max_body_bytes: int = Field(MIB, ge=1, description="Largest JSON body, but for POST /result.")
    max_result_bytes: int = Field(16 * MIB, ge=1, description="Largest body of POST /result.")
    callback_secret: SigningSecret | None = Field(None, description="whsec_ secret of POST /result.")
    cors_origins: str = Field("*", description="Origins that browsers may call from, comma separated.")
    default_gpu_count: int = Field(0, ge=0, le=8, description="GPUs of one transcription; 0 runs on the CPU.")
    default_gpu_resource: str = Field("nvidia.com/gpu", description="Resource name of a GPU.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _plain_endpoint(cls, endpoint: str | None) -> str | None:
        endpoint = (endpoint or "").rstrip("/")
        if endpoint and not _ENDPOINT.fullmatch(endpoint):
            raise ValueError(
                "an S3 endpoint is scheme, host and port, such as https://s3.example.com:9000, and no path"
            )
        return endpoint or None

    @property
    def public_endpoint(self) -> str | None:
        return self.s3_public_endpoint or self.s3_endpoint

    @property
    def origins(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.callback_secret.get_secret_value(),) if self.callback_secret else ()
