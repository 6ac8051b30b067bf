"""What OpenAI's clients send and read at /v1/audio/transcriptions; the multipart form becomes one frozen value.

Used by audio, render and routes.
"""

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from starlette.datastructures import FormData

from api.errors import Code, ProblemError
from api.languages import LANGUAGES

MAX_PROMPT_CHARS = 896

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["word", "segment"]


class TranscriptionForm(BaseModel):
    """The fields beside the file. Others are left aside, as OpenAI does, so that newer clients work."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str = Field(
        min_length=1,
        description="whisper-1 is the installation's default; GET /v1/models lists the names.",
        examples=["whisper-1", "large-v3"],
    )
    language: str | None = Field(
        None,
        description="ISO 639 code of what is spoken; left out or auto, it is detected.",
        examples=["ko", "en"],
        json_schema_extra={"enum": ["auto", *sorted(LANGUAGES)]},
    )
    prompt: str | None = Field(
        None,
        description=f"Names and style that guide the model; the last {MAX_PROMPT_CHARS} characters of it count.",
        examples=["Names: 김민수, Ann."],
    )
    response_format: ResponseFormat = Field("json", description="What is answered.", examples=["verbose_json"])
    temperature: float = Field(
        0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Accepted and left aside: decoding raises it by itself where that helps, as OpenAI's 0 does.",
    )
    timestamp_granularities: list[Granularity] = Field(
        [],
        max_length=8,
        validation_alias=AliasChoices("timestamp_granularities[]", "timestamp_granularities"),
        description="What verbose_json holds: segments (the default), words, or both.",
        examples=[["word", "segment"]],
    )
    include: list[str] = Field(
        [],
        validation_alias=AliasChoices("include[]", "include"),
        description="Not for Whisper: nothing can be included.",
        json_schema_extra={"items": {"type": "string", "maxLength": 0}},
    )
    stream: str | None = Field(None, description="Left aside: Whisper's answer comes in one piece.")
    chunking_strategy: str | None = Field(None, description="Left aside: Whisper has windows of its own.")

    @field_validator("language")
    @classmethod
    def _known_language(cls, language: str | None) -> str | None:
        if language not in (None, "auto", *LANGUAGES):
            raise ValueError("send the ISO 639 code of a language that Whisper knows, such as en or ko")
        return language

    @field_validator("prompt")
    @classmethod
    def _tail(cls, prompt: str | None) -> str | None:
        if prompt is not None and "\x00" in prompt:
            raise ValueError("a NUL character is not allowed")
        return prompt and prompt[-MAX_PROMPT_CHARS:]

    @field_validator("timestamp_granularities")
    @classmethod
    def _only_verbose(cls, granularities: list[Granularity], info: ValidationInfo) -> list[Granularity]:
        if granularities and info.data.get("response_format", "verbose_json") != "verbose_json":
            raise ValueError("needs response_format=verbose_json")
        return granularities

    @field_validator("include")
    @classmethod
    def _nothing(cls, include: list[str]) -> list[str]:
        if include:
            raise ValueError("Whisper gives no such information: leave it out")
        return include

    @property
    def has_words(self) -> bool:
        return "word" in self.timestamp_granularities

    @property
    def has_segments(self) -> bool:
        return "segment" in self.timestamp_granularities or not self.timestamp_granularities


def parse_form(fields: FormData) -> TranscriptionForm:
    """The fields of a form, where an empty one counts as absent; ProblemError 400 that names the wrong one."""
    texts = {name: _one_or_all(fields, name) for name in fields if fields[name] != ""}
    try:
        return TranscriptionForm.model_validate(texts)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        raise refuse_field(str(fault["loc"][0]), fault["msg"].removeprefix("Value error, ")) from error


def refuse_field(name: str, message: str) -> ProblemError:
    """The answer for a field that is missing or wrong."""
    param = name.removesuffix("[]")
    return ProblemError(400, Code.VALIDATION_FAILED, f"Correct the form: {param}: {message}", {"param": param})


def _one_or_all(fields: FormData, name: str) -> Any:
    return fields.getlist(name) if name.removesuffix("[]") in ("timestamp_granularities", "include") else fields[name]


def build_form_schema() -> dict[str, Any]:
    """The multipart body as openapi.json shows it."""
    schema = TranscriptionForm.model_json_schema()
    del schema["title"], schema["description"]
    file = {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "A video or audio file, as one part with a file name.",
    }
    schema["properties"] = {"file": file, **{n: _without_null(p) for n, p in schema["properties"].items()}}
    schema["required"] = ["file", "model"]
    schema["if"] = {"required": ["timestamp_granularities[]"]}
    schema["then"] = {"required": ["response_format"], "properties": {"response_format": {"const": "verbose_json"}}}
    return schema


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A field of a form is there or not: null is nothing that could be sent."""
    kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
    return {name: value for name, value in field.items() if (name, value) != ("default", None)} | (
        kinds[0] if kinds else {}
    )


class Transcription(BaseModel):
    """response_format json."""

    text: str = Field(examples=["Good morning."])


class Segment(BaseModel):
    """Whisper's own ten fields."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class SpokenWord(BaseModel):
    word: str
    start: float
    end: float


class VerboseTranscription(BaseModel):
    """response_format verbose_json; segments and words are there as timestamp_granularities asks."""

    task: Literal["transcribe"] = "transcribe"
    language: str = Field(examples=["english"], description="The language's English name, in lower case.")
    duration: float
    text: str
    segments: list[Segment] | None = None
    words: list[SpokenWord] | None = None
