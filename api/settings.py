"""What an installation sets, read from API_* environment variables. Built once, in __main__."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crds.addresses import AllowedHosts
from crds.callback import SigningSecret, reveal

MIB = 1024 * 1024
MAX_PUT_BYTES = 5 * 1024 * MIB
"""What S3 takes in one PUT."""

_ENDPOINT = re.compile(r"https?://[^/?#@\s]+")

AuthMode = Literal["none", "api-key", "oidc"]
Priority = Literal["low", "normal", "high"]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric only: a key set is public, so nothing in it may be a shared secret."""

Words = Annotated[tuple[str, ...], NoDecode]


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
    max_audio_bytes: int = Field(
        512 * MIB, ge=1, le=MAX_PUT_BYTES, description="Largest body of POST /v1/audio/transcriptions."
    )
    max_live_jobs: int = Field(20_000, ge=0, description="Jobs that may be unfinished at once; 0 means any number.")
    rate_requests: int = Field(10_000, ge=0, description="Requests of one caller in rate_seconds; 0 means any number.")
    rate_seconds: int = Field(10, ge=1, description="The time that rate_requests is counted in.")
    openai_wait_seconds: float = Field(240, gt=0, description="How long /v1/audio/transcriptions waits for the end.")
    models: Words = Field((), description="Installed models, the default one first, comma separated; for /v1/models.")
    auth_mode: AuthMode = Field("none", description="Who may call: none (anybody), api-key or oidc.")
    keys_file: Path | None = Field(None, description="api-key: file of lines `<tenant> sha256:<hex of the key>`.")
    oidc_issuer: str | None = Field(None, description="oidc: the issuer of the tokens.")
    oidc_audience: str | None = Field(None, description="oidc: the audience of the tokens.")
    oidc_jwks_url: str | None = Field(None, description="oidc: URL of the issuer's key set.")
    oidc_algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = Field(
        ("RS256",), description="oidc: accepted signature algorithms, comma separated."
    )
    priority_low: str | None = Field(None, description="PriorityClass of requests with priority low; unset: none.")
    priority_high: str | None = Field(None, description="PriorityClass of requests with priority high.")
    callback_secret: SigningSecret | None = Field(None, description="whsec_ secret of POST /result.")
    callback_previous_secret: SigningSecret | None = Field(
        None, description="The secret before it: accepted too, while they change."
    )
    callback_allowed_hosts: Annotated[AllowedHosts, NoDecode] = Field(
        (), description="Hosts and networks inside that a callback_url may name, comma separated."
    )
    trusted_proxies: str | None = Field(
        None, description="Addresses or networks of proxies whose X-Forwarded-For is believed, comma separated."
    )
    cors_origins: str = Field("*", description="Origins that browsers may call from, comma separated.")
    default_gpu_count: int = Field(0, ge=0, le=8, description="GPUs of one transcription; 0 runs on the CPU.")
    default_gpu_resource: str = Field("nvidia.com/gpu", description="Resource name of a GPU.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")

    @field_validator("models", "oidc_algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _plain_endpoint(cls, endpoint: str | None) -> str | None:
        endpoint = (endpoint or "").rstrip("/")
        if endpoint and not _ENDPOINT.fullmatch(endpoint):
            raise ValueError(
                "an S3 endpoint is scheme, host and port, such as https://s3.example.com:9000, and no path"
            )
        return endpoint or None

    @model_validator(mode="after")
    def _complete_auth(self) -> Self:
        wanted = {
            "none": (),
            "api-key": ("keys_file", "callback_secret"),
            "oidc": ("oidc_issuer", "oidc_audience", "oidc_jwks_url", "callback_secret"),
        }
        missing = [f"API_{name.upper()}" for name in wanted[self.auth_mode] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"API_AUTH_MODE={self.auth_mode} needs {', '.join(missing)} too")
        return self

    @property
    def public_endpoint(self) -> str | None:
        return self.s3_public_endpoint or self.s3_endpoint

    @property
    def origins(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @property
    def secrets(self) -> tuple[str, ...]:
        return reveal(self.callback_secret, self.callback_previous_secret)

    def priority_class(self, priority: Priority) -> str | None:
        """The PriorityClass behind a request's priority; None is the installation's default one."""
        return {"low": self.priority_low, "normal": None, "high": self.priority_high}[priority]
