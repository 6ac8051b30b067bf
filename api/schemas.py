"""What requests and answers look like. Used by routes and the steps behind them; openapi.json is made of this."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api import patterns
from api.languages import LANGUAGES
from api.settings import Priority
from crds.transcriptionjob import FORMATS, NAME_PATTERN, CallbackState, EngineName, Format, State, Task

TURBO_MODELS = frozenset({"turbo", "large-v3-turbo"})
MEDIA_TYPE = (
    r"^([Vv][Ii][Dd][Ee][Oo]|[Aa][Uu][Dd][Ii][Oo])/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
    r'( ?; ?[A-Za-z0-9-]+=("[A-Za-z0-9 ,._+-]*"|[A-Za-z0-9,._+-]+))*$'
)

Word = Literal["processing", "completed", "failed", "cancelled"]
StageWord = Literal["queued", "starting", "downloading", "loading model", "transcribing", "saving", "delivering"]

_CALLBACK = re.compile(r"https?://[!-~]+")


def _check_callback_url(url: str) -> str:
    if not _CALLBACK.fullmatch(url) or "\\" in url:
        raise ValueError("callback_url must be an http or https URL in ASCII")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError("callback_url has a broken host or port") from error
    if not usable or "@" in parts.netloc:
        raise ValueError("callback_url must name a host, without user name or password")
    return url


def _check_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a NUL character is not allowed")
    return text


def _check_language(language: str) -> str:
    if language != "auto" and language not in LANGUAGES:
        raise ValueError("send a language that Whisper knows, such as ko, or auto")
    return language


def _check_option(language: str) -> str:
    if language not in LANGUAGES:
        raise ValueError("send languages that Whisper knows, such as ko")
    return language


def _empty_as_absent(value: object) -> object:
    return None if value == "" else value


JobId = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", examples=["8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11"])]
CallbackUrl = Annotated[
    str,
    Field(max_length=1024, json_schema_extra={"pattern": patterns.CALLBACK_URL}),
    AfterValidator(_check_callback_url),
]
MediaType = Annotated[
    Annotated[
        str,
        Field(max_length=255, pattern=MEDIA_TYPE, json_schema_extra={"pattern": patterns.or_empty(MEDIA_TYPE)}),
    ]
    | None,
    BeforeValidator(_empty_as_absent),
]
MetadataKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Prompt = Annotated[
    str, Field(max_length=896, json_schema_extra={"pattern": patterns.TEXT}), AfterValidator(_check_text)
]
MetadataValue = Annotated[
    str, Field(max_length=128, json_schema_extra={"pattern": patterns.TEXT}), AfterValidator(_check_text)
]
Language = Annotated[
    str,
    Field(max_length=4, json_schema_extra={"enum": ["auto", *LANGUAGES]}, examples=["ko"]),
    AfterValidator(_check_language),
]
LanguageOption = Annotated[
    str,
    Field(max_length=3, json_schema_extra={"enum": list(LANGUAGES)}, examples=["ko"]),
    AfterValidator(_check_option),
]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue], Field(max_length=10, json_schema_extra={"additionalProperties": False})
]


def refuse_unknown(model: type[BaseModel], value: object) -> object:
    """The value as it is; a ValueError that names the known fields when it has others, which are never repeated."""
    if isinstance(value, dict) and not value.keys() <= model.__pydantic_fields__.keys():
        raise ValueError(f"a field is unknown: send only {', '.join(model.model_fields)}")
    return value


class Asked(BaseModel):
    """A request body: unknown fields are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known_alone(cls, value: object) -> object:
        return refuse_unknown(cls, value)


class GenerateUrlRequest(Asked):
    """Both dialects: `content_type` or `filetype`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": patterns.DIALECTS})

    filename: str = Field(
        min_length=1,
        examples=["example.mp4"],
        description="At most 1024 bytes.",
        json_schema_extra={"pattern": patterns.FILENAME, "maxLength": 1024},
    )
    content_type: MediaType = Field(None, examples=["video/mp4"])
    filetype: MediaType = None

    @model_validator(mode="after")
    def _one_type(self) -> Self:
        if len({self.content_type, self.filetype} - {None}) != 1:
            raise ValueError("send content_type (or filetype), such as video/mp4")
        return self

    @property
    def media_type(self) -> str:
        return self.content_type or self.filetype or ""


class Options(Asked):
    """How to transcribe; all optional."""

    model_config = ConfigDict(json_schema_extra={"not": patterns.build_translation_by(TURBO_MODELS)})

    model: str | None = Field(None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["large-v3"])
    language: Language | None = None
    language_options: list[LanguageOption] | None = Field(None, min_length=1, max_length=10)
    task: Task = "transcribe"
    word_timestamps: bool = False
    formats: list[Format] = Field(
        default_factory=lambda: list(FORMATS),
        min_length=1,
        max_length=len(FORMATS),
        json_schema_extra={"default": list(FORMATS)},
    )
    initial_prompt: Prompt | None = None
    engine: EngineName = "auto"
    callback_url: CallbackUrl | None = None
    metadata: Metadata | None = None
    priority: Priority = "normal"

    @model_validator(mode="after")
    def _model_can(self) -> Self:
        if self.task == "translate" and self.model in TURBO_MODELS:
            raise ValueError("turbo models cannot translate: choose large-v3, or task transcribe")
        return self


class RequestProcessRequest(Options):
    video_url: str = Field(
        min_length=1,
        max_length=8192,
        examples=["https://bucket.s3.amazonaws.com/videos/a.mp4"],
        json_schema_extra={"pattern": patterns.VIDEO_URL},
    )


class ProcessVideoRequest(RequestProcessRequest):
    job_id: JobId


class CallbackPayload(Asked):
    """What the worker posts when a transcription has ended."""

    model_config = ConfigDict(json_schema_extra={"oneOf": patterns.ENDINGS})

    job_id: str
    status: Word | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None

    @model_validator(mode="after")
    def _result_or_error(self) -> Self:
        if (self.result is None) == (self.error is None):
            raise ValueError("send result (completed), or error (failed, cancelled)")
        if self.word not in (("completed",) if self.error is None else ("failed", "cancelled")):
            raise ValueError(
                "status does not go with what is sent: completed has result, failed and cancelled have error"
            )
        return self

    @property
    def word(self) -> Word:
        return self.status or ("completed" if self.error is None else "failed")


class UploadTicket(BaseModel):
    """Where to PUT the file, and what to call it afterwards; each under both dialects' names."""

    upload_url: str
    video_url: str
    url: str
    fileKey: str  # noqa: N815


class Accepted(BaseModel):
    job_id: str
    status: Word
    message: str
    status_url: str


class FailureDocument(BaseModel):
    code: str
    message: str
    retryable: bool


class QueueDocument(BaseModel):
    """Why a job waits; `position` is its place in line, from 1."""

    reason: str | None = None
    message: str | None = None
    position: int | None = None


class CallbackDocument(BaseModel):
    """The delivery record of the callback."""

    state: CallbackState
    attempts: int
    last_status_code: int | None = None
    last_attempt_at: AwareDatetime | None = None
    next_attempt_at: AwareDatetime | None = None


class StatusDocument(BaseModel):
    """One transcription. Fields that are not known are left out.

    `status` has four words for ever; `state` and `stage` say it finer. Seconds of audio, but for `eta_seconds`;
    `realtime_factor` is seconds of audio done in one second. `note` is what the worker has to say of its run, such as
    that the GPU's memory ran short. `outputs` has the path of each transcript.
    """

    job_id: str
    status: Word
    progress: int = Field(ge=0, le=100)
    state: State
    stage: StageWord | None = None
    message: str | None = None
    audio_seconds_done: float | None = None
    audio_seconds_total: float | None = None
    eta_seconds: float | None = None
    realtime_factor: float | None = None
    note: str | None = None
    attempt: int
    queue: QueueDocument | None = None
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    error: FailureDocument | None = None
    outputs: dict[Format, str] | None = None
    callback: CallbackDocument | None = None
    model: str | None = None
    metadata: dict[str, str] | None = None


class JobList(BaseModel):
    jobs: list[StatusDocument]
    next_token: str | None


class Received(BaseModel):
    status: Literal["received"] = "received"


class Health(BaseModel):
    status: Literal["ok", "ready", "starting", "stuck"]


class Problem(BaseModel):
    """RFC 9457; `code` is stable, `detail` and `message` are for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    message: str
    job: StatusDocument | None = None
    errors: list[dict[str, str]] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Problem", "content": content} for status in statuses}
