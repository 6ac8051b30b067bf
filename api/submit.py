"""The step from a request to a TranscriptionJob. Called by the two routes that start one."""

import hashlib
import json
import logging

from api.doors import AlreadyExistsError, StoredObject, UnavailableError
from api.errors import Code, ProblemError
from api.rows import Row
from api.schemas import RequestProcessRequest
from api.settings import ApiSettings
from api.sources import ForeignVideoError, VideoUrlError, parse_video_url
from api.wiring import Parts
from crds.transcriptionjob import FORMATS, REQUEST_ANNOTATION, Callback, Resources, Source, Spec

logger = logging.getLogger(__name__)


async def submit(job_id: str, asked: RequestProcessRequest, parts: Parts, *, is_new: bool) -> Row:
    """The transcription of that id: made now, or found when the same was asked before.

    A known id comes first, so that asking again works when the upload is gone. `is_new` ids need no such look.
    """
    key = _find_key(asked, parts)
    digest = build_digest(asked, key)
    known = None if is_new else await parts.store.read(job_id)
    if known is not None:
        return _same(known, digest)
    stored = await _look_at_upload(key, parts)
    spec = build_spec(asked, Source(bucket=parts.settings.s3_bucket, key=key, etag=stored.etag), parts.settings)
    try:
        row = await _create(job_id, spec, digest, parts)
    except AlreadyExistsError:
        return _same(await parts.store.read(job_id), digest)
    logger.info("submitted", extra={"transcription": row.path, "key": key, "size_bytes": stored.size_bytes})
    return row


def build_digest(asked: RequestProcessRequest, key: str) -> str:
    """The same for the same wish, however the URL is spelt and whatever options later versions add."""
    wish = asked.model_dump(exclude={"job_id", "video_url"}, exclude_defaults=True)
    if "formats" in wish:
        wish["formats"] = sorted(set(wish["formats"]))
    return hashlib.sha256(json.dumps([key, wish], sort_keys=True).encode()).hexdigest()


def build_spec(asked: RequestProcessRequest, source: Source, settings: ApiSettings) -> Spec:
    """What is asked, as the resource says it."""
    return Spec(
        source=source,
        model=asked.model,
        language=asked.language,
        task=asked.task,
        word_timestamps=asked.word_timestamps,
        initial_prompt=asked.initial_prompt,
        formats=tuple(f for f in FORMATS if f in asked.formats),
        callback=Callback(url=asked.callback_url) if asked.callback_url else None,
        resources=Resources(gpu=settings.default_gpu_count, gpu_resource=settings.default_gpu_resource),
        metadata=asked.metadata,
    )


def _find_key(asked: RequestProcessRequest, parts: Parts) -> str:
    try:
        return parse_video_url(asked.video_url, parts.storage)
    except VideoUrlError as error:
        raise ProblemError(422, Code.INVALID_VIDEO_URL, str(error)) from error
    except ForeignVideoError as error:
        raise ProblemError(404, Code.OBJECT_NOT_FOUND, str(error)) from error


def _same(row: Row | None, digest: str) -> Row:
    if row is None or row.is_deleting:
        detail = "The job with this job_id is being deleted: send it again in a moment, or choose another job_id."
        raise ProblemError(409, Code.JOB_CONFLICT, detail)
    if row.request_digest != digest:
        detail = "This job_id belongs to a job with another video_url or other options: choose another job_id."
        raise ProblemError(409, Code.JOB_CONFLICT, detail)
    return row


async def _create(job_id: str, spec: Spec, digest: str, parts: Parts) -> Row:
    """Once more under the same name when no answer comes: the first may have been carried out all the same."""
    annotations = {REQUEST_ANNOTATION: digest}
    try:
        return await parts.store.create(job_id, spec, annotations)
    except UnavailableError as error:
        path = f"{parts.settings.namespace}/{job_id}"
        logger.warning("creation unanswered", extra={"transcription": path, "error": str(error)})
        return await parts.store.create(job_id, spec, annotations)


async def _look_at_upload(key: str, parts: Parts) -> StoredObject:
    stored = await parts.uploads.head(key)
    if stored is None:
        detail = "There is no such upload: PUT the file to the upload_url of generate-url, then send this again."
        raise ProblemError(404, Code.OBJECT_NOT_FOUND, detail)
    if stored.size_bytes == 0:
        raise ProblemError(422, Code.OBJECT_SIZE, "The uploaded file is empty: upload it again.")
    limit = parts.settings.max_upload_bytes
    if stored.size_bytes > limit:
        raise ProblemError(
            422, Code.OBJECT_SIZE, f"The uploaded file is larger than {limit} bytes: upload a smaller one."
        )
    return stored
