"""Which models OpenAI's clients may name, and which one is meant. Pure; called by routes and audio."""

import re
from typing import Literal

from pydantic import BaseModel

from api.errors import Code, ProblemError
from api.settings import ApiSettings

OPENAI_NAME = "whisper-1"
"""What clients call Whisper when they do not choose a size: the installation's default model."""

WHISPER_NAMES = (
    "turbo",
    "large-v3-turbo",
    "large-v3",
    "large-v2",
    "large-v1",
    "large",
    "medium",
    "medium.en",
    "small",
    "small.en",
    "base",
    "base.en",
    "tiny",
    "tiny.en",
)
RELEASED = 1663718400
"""When Whisper was published: the time that clients are shown for each model."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""As the resource has it; a checkpoint's path may be the default model, and no other."""


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = RELEASED
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def list_models(settings: ApiSettings) -> ModelList:
    """The installed ones first, the default one before all."""
    return ModelList(data=[_build_model(name) for name in _list_names(settings)])


def get_model(name: str, settings: ApiSettings) -> Model:
    """One of the list; ProblemError 404 when it is none."""
    if name not in _list_names(settings):
        raise model_not_found()
    return _build_model(name)


def choose_model(name: str, settings: ApiSettings) -> str | None:
    """The model of a request, None for the default one; ProblemError 404 for an unknown name."""
    if name in (OPENAI_NAME, *settings.models[:1]):
        return None
    if name not in _list_names(settings) or not _NAME.fullmatch(name):
        raise model_not_found()
    return name


def model_not_found() -> ProblemError:
    """The answer for a model that nobody knows, or that is not installed."""
    detail = "There is no such model here: choose one that GET /v1/models lists."
    return ProblemError(404, Code.MODEL_NOT_FOUND, detail, {"param": "model"})


def _list_names(settings: ApiSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*settings.models, OPENAI_NAME, *WHISPER_NAMES)))


def _build_model(name: str) -> Model:
    return Model(id=name, owned_by="openai" if name in (OPENAI_NAME, *WHISPER_NAMES) else "installation")
