"""The step from a request to a TranscriptionJob. Called by the two routes that start one, and by openai.audio."""

import asyncio
import hashlib
import hmac
import json
import logging
import uuid
from functools import cache

from api.auth import Caller
from api.deadline import within
from api.destinations import check_destination
from api.doors import AlreadyExistsError, StoredObject, UnavailableError
from api.errors import Code, ProblemError
from api.filenames import UPLOADS_PREFIX
from api.lookup import hide_foreign
from api.row import Row
from api.schemas import RequestProcessRequest
from api.settings import ApiSettings
from api.sources import ForeignVideoError, VideoUrlError, parse_video_url
from api.wiring import Parts
from crds.transcriptionjob import FORMATS, REQUEST_ANNOTATION, Callback, Resources, Source, Spec

FULL_RETRY_SECONDS = 30
OPEN_KEY = "5c2f1e7a-9d0b-4c57-8f43-6f0f4b1f5a7e"
"""Makes ids where no secret is set: then all callers are one tenant."""

TAKEN = "This job_id or Idempotency-Key belongs to a job with another video_url or other options: choose another one."
BEING_DELETED = (
    "The job of this job_id or Idempotency-Key is being deleted: "
    "send the request again in a moment, or choose another one."
)

NO_OPTIONS = frozenset({"job_id", "video_url"})
OPTIONS_OF_SPEC = frozenset({"model", "language", "task", "word_timestamps", "initial_prompt", "engine", "metadata"})
"""Those that the resource has under the same name and with the same default."""

logger = logging.getLogger(__name__)


async def submit(
    job_id: str, asked: RequestProcessRequest, parts: Parts, caller: Caller, *, is_new: bool = False
) -> Row:
    """The transcription of that id: made now, or found when the same was asked before.

    A known id comes first, so that asking again works when the upload is gone. `is_new` ids need no such look.
    Somebody else's is as a new one until its creation fails: its 409 needs an upload too.
    """
    try:
        return await within(parts.submit_seconds, _submit(job_id, asked, parts, caller, is_new=is_new))
    except TimeoutError as error:
        raise UnavailableError("the transcription could not be made in time") from error


async def _submit(job_id: str, asked: RequestProcessRequest, parts: Parts, caller: Caller, *, is_new: bool) -> Row:
    """One deadline for all that is asked here: each system may answer late, and they must not add up."""
    key = _find_key(asked, parts, caller)
    digest = build_digest(asked, key)
    known = None if is_new else await parts.store.read(hide_foreign(job_id, parts, caller))
    if known is not None and caller.may_see(known):
        return _same(known, digest, caller)
    if asked.callback_url:
        check_destination(asked.callback_url, parts.settings)
    with _Room(job_id, parts):
        stored = await _look_at_upload(key, parts)
        source = Source(bucket=parts.settings.s3_bucket, key=key, etag=stored.etag)
        spec = build_spec(asked, source, caller.tenant, parts.settings)
        try:
            row = await _create(job_id, spec, digest, parts)
        except AlreadyExistsError:
            return _same(await parts.store.read(job_id), digest, caller)
    logger.debug("submitted", extra={"transcription": row.path, "key": key, "size_bytes": stored.size_bytes})
    return row


def build_digest(asked: RequestProcessRequest, key: str) -> str:
    """The same for the same wish, however the URL is spelt and whatever options later versions add."""
    given = asked.model_fields_set - NO_OPTIONS
    wish = asked.model_dump(include=given, exclude_defaults=True) if given else {}
    if "formats" in wish:
        wish["formats"] = sorted(set(wish["formats"]))
    options = json.dumps(wish, sort_keys=True) if wish else "{}"
    return hashlib.sha256(f"[{json.dumps(key)}, {options}]".encode()).hexdigest()


def build_job_id(idempotency_key: str | None, caller: Caller, settings: ApiSettings) -> str:
    """An id of the server's choice: the same for the same key of the same caller, on every replica.

    Who lacks the installation's secret cannot tell, and so cannot take, the id of another's key.
    """
    if not idempotency_key:
        return str(uuid.uuid4())
    secret = settings.secrets[0] if settings.secrets else OPEN_KEY
    facts = f"job id\n{caller.tenant}\n{idempotency_key}"
    return str(uuid.UUID(bytes=hmac.digest(secret.encode(), facts.encode(), "sha256")[:16], version=5))


def build_spec(asked: RequestProcessRequest, source: Source, tenant: str, settings: ApiSettings) -> Spec:
    """What is asked, as the resource says it. The defaults of a request and of the resource are the same."""
    given = {name: getattr(asked, name) for name in asked.model_fields_set & OPTIONS_OF_SPEC}
    if "formats" in asked.model_fields_set:
        given["formats"] = tuple(f for f in FORMATS if f in asked.formats)
    if asked.language_options:
        given["language_options"] = tuple(dict.fromkeys(asked.language_options))
    if asked.callback_url:
        given["callback"] = Callback(url=asked.callback_url)
    resources = _build_resources(settings.default_gpu_count, settings.default_gpu_resource)
    priority = settings.priority_class(asked.priority)
    return Spec(source=source, resources=resources, tenant=tenant, priority=priority, **given)


@cache
def _build_resources(gpu: int, gpu_resource: str) -> Resources:
    return Resources(gpu=gpu, gpu_resource=gpu_resource)


def check_room(parts: Parts) -> None:
    """A 429 when as many jobs are unfinished, or being made, as the installation takes."""
    limit = parts.settings.max_live_jobs
    if limit and parts.store.rows.live + len(parts.submitting) >= limit:
        detail = "Too many jobs are unfinished: send this again when some have ended."
        raise ProblemError(429, Code.TOO_MANY_JOBS, detail).with_headers(Retry_After=str(FULL_RETRY_SECONDS))


class _Room:
    """Counted before anything is awaited: many at once cannot all find the same room. One id needs it once."""

    __slots__ = ("_job_id", "_parts")

    def __init__(self, job_id: str, parts: Parts) -> None:
        self._job_id = job_id
        self._parts = parts

    def __enter__(self) -> None:
        submitting = self._parts.submitting
        count = submitting.get(self._job_id, 0)
        if not count:
            check_room(self._parts)
        submitting[self._job_id] = count + 1

    def __exit__(self, *_: object) -> None:
        submitting = self._parts.submitting
        count = submitting.pop(self._job_id) - 1
        if count:
            submitting[self._job_id] = count


def _find_key(asked: RequestProcessRequest, parts: Parts, caller: Caller) -> str:
    try:
        key = parse_video_url(asked.video_url, parts.storage)
    except VideoUrlError as error:
        raise ProblemError(422, Code.INVALID_VIDEO_URL, str(error)) from error
    except ForeignVideoError as error:
        raise _no_upload() from error
    if caller.is_confined and not key.startswith(f"{UPLOADS_PREFIX}{caller.tenant}/"):
        raise _no_upload()
    return key


def _no_upload() -> ProblemError:
    detail = "There is no such upload: PUT the file to the upload_url of generate-url, then send its video_url."
    return ProblemError(404, Code.OBJECT_NOT_FOUND, detail)


def _same(row: Row | None, digest: str, caller: Caller) -> Row:
    if row is None or (row.is_deleting and caller.may_see(row)):
        raise ProblemError(409, Code.JOB_CONFLICT, BEING_DELETED)
    if row.request_digest != digest or not caller.may_see(row):
        raise ProblemError(409, Code.JOB_CONFLICT, TAKEN)
    return row


async def _create(job_id: str, spec: Spec, digest: str, parts: Parts) -> Row:
    """Once more under the same name when it fails soon: the first may have been carried out all the same."""
    annotations = {REQUEST_ANNOTATION: digest}
    clock = asyncio.get_running_loop().time
    begin = clock()
    try:
        return await parts.store.create(job_id, spec, annotations)
    except UnavailableError as error:
        if clock() - begin > parts.submit_seconds / 2:
            raise
        path = f"{parts.settings.namespace}/{job_id}"
        logger.warning("creation unanswered", extra={"transcription": path, "error": str(error)})
        return await parts.store.create(job_id, spec, annotations)


async def _look_at_upload(key: str, parts: Parts) -> StoredObject:
    stored = await parts.uploads.head(key)
    if stored is None:
        raise _no_upload()
    if stored.size_bytes == 0:
        raise ProblemError(422, Code.OBJECT_SIZE, "The uploaded file is empty: upload it again.")
    limit = parts.settings.max_upload_bytes
    if stored.size_bytes > limit:
        raise ProblemError(
            422, Code.OBJECT_SIZE, f"The uploaded file is larger than {limit} bytes: upload a smaller one."
        )
    return stored
