"""The paths under /v1 that OpenAI's clients call. Thin: each handler hands over and answers. Wired by app."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.admit import AdmittedRoute, Called
from api.openai.audio import transcribe
from api.openai.models import Model, ModelList, get_model, list_models
from api.openai.schemas import Transcription, VerboseTranscription, build_form_schema
from api.schemas import problems
from api.wiring import Wired

AUDIO_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": build_form_schema()}}}
}
AUDIO_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript, as response_format asks; X-Request-ID is the job's id.",
        "model": Transcription | VerboseTranscription,
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "Good morning.\n"}},
    }
}

router = APIRouter(prefix="/v1", route_class=AdmittedRoute)


@router.post(
    "/audio/transcriptions",
    operation_id="createTranscription",
    response_class=Response,
    openapi_extra=AUDIO_BODY,
    responses=AUDIO_ANSWER | problems(400, 401, 403, 404, 408, 409, 410, 413, 415, 429, 503, 504),
)
async def create_transcription(request: Request, parts: Wired, caller: Called) -> Response:
    """Upload a video or audio file and wait for its transcript."""
    return await transcribe(request, parts, caller)


@router.get("/models", operation_id="listModels", responses=problems(401, 403, 429, 503))
async def get_models(parts: Wired, _: Called) -> ModelList:
    """The models that may be named, installed ones first."""
    return list_models(parts.settings)


@router.get("/models/{model:path}", operation_id="getModel", responses=problems(401, 403, 404, 429, 503))
async def get_one_model(model: Annotated[str, Path(examples=["whisper-1"])], parts: Wired, _: Called) -> Model:
    """One of the models."""
    return get_model(model, parts.settings)
