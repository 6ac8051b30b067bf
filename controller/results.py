"""The only S3 door of the controller: transcripts, read for callbacks and deleted with their transcription."""

import asyncio
import json
import logging
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnectionError

from controller.errors import ControllerError, DeniedError, MissingError, RefusedError, TransientError
from controller.outcome import LANGUAGE_LENGTH, build_result_key
from controller.settings import ControllerSettings
from crds.transcriptionjob import FORMATS, Format, Result, Transcription
from crds.worker import build_outputs_prefix

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MAX_TRANSCRIPT_BYTES = 32 * 1024 * 1024  # held whole, once for each courier
GONE_CODES = {"NoSuchKey", "NoSuchBucket", "404"}
BUSY_CODES = {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "Throttling", "TooManyRequests"}
AWAY = (NoConnectionError, HTTPClientError, IncompleteReadError)

logger = logging.getLogger(__name__)


class Results:
    """The transcripts of one bucket."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    @classmethod
    def connect(cls, settings: ControllerSettings) -> Self:
        """By the account that boto3's default chain finds."""
        style: Any = {"addressing_style": "path" if settings.s3_path_style else "auto"}
        options = Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=20,
            retries={"total_max_attempts": 2, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3=style,
        )
        s3 = boto3.client("s3", region_name=settings.s3_region, endpoint_url=settings.s3_endpoint, config=options)
        return cls(s3, settings.s3_bucket)

    async def delete_outputs(self, transcription: Transcription) -> None:
        """Delete every file that any attempt has stored; again changes nothing. TransientError, DeniedError."""
        t = transcription
        await asyncio.to_thread(self._delete, build_outputs_prefix(t.namespace, t.name, t.uid))

    def _delete(self, prefix: str) -> None:
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    self._s3.delete_object(Bucket=self._bucket, Key=item["Key"])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in GONE_CODES:  # the bucket is gone, and all in it
                return
            raise _translate(prefix, error) from error
        except AWAY as error:
            raise TransientError(f"{prefix}: {error}") from error
        except BotoCoreError as error:
            raise DeniedError(f"{prefix}: {error}") from error

    async def find(self, transcription: Transcription) -> Result | None:
        """What the present attempt has stored, told from the file itself; TransientError when S3 is away."""
        t = transcription
        key = build_result_key(t)
        try:
            data = await asyncio.to_thread(self._get, key)
            return _describe(key, data, t.spec.formats)
        except (MissingError, RefusedError, DeniedError, ValueError, TypeError, KeyError) as error:
            facts = {"transcription": f"{t.namespace}/{t.name}", "error": str(error)}
            logger.warning("no transcript found", extra=facts)
            return None

    async def read(self, result: Result) -> bytes:
        """Whisper's own JSON, as it is stored; MissingError when it is gone or is no JSON object."""
        return await asyncio.to_thread(self._read, result)

    def _read(self, result: Result) -> bytes:
        data = self._get(result.key)
        if sha256(data).hexdigest() != result.sha256:
            _parse(result.key, data)  # a second pod of the attempt may have stored another transcript: fine
        return data

    def _get(self, key: str) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            if answer["ContentLength"] > MAX_TRANSCRIPT_BYTES:
                raise RefusedError(f"{key} is larger than {MAX_TRANSCRIPT_BYTES} bytes")
            with answer["Body"] as body:
                return body.read()
        except ClientError as error:
            raise _translate(key, error) from error
        except AWAY as error:
            raise TransientError(f"{key}: {error}") from error
        except BotoCoreError as error:
            raise DeniedError(f"{key}: {error}") from error


def _describe(key: str, data: bytes, wanted: Sequence[Format]) -> Result:
    """As the worker would; it ends well only when all formats are stored."""
    transcript = _parse(key, data)
    return Result(
        key=key,
        sha256=sha256(data).hexdigest(),
        bytes=len(data),
        formats=tuple(f for f in FORMATS if f == "json" or f in wanted),
        language=str(transcript["language"])[:LANGUAGE_LENGTH],
        duration_seconds=transcript.get("figures", {}).get("audio_seconds"),
        segments=len(transcript["segments"]),
    )


def _translate(key: str, error: ClientError) -> ControllerError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if code in GONE_CODES:
        return MissingError(f"{key} is gone")
    is_lasting = 400 <= status < 500 and status not in {408, 429} and code not in BUSY_CODES
    return DeniedError(f"{key}: {error}") if is_lasting else TransientError(f"{key}: {error}")


def _parse(key: str, data: bytes) -> dict[str, Any]:
    """A transcript in strict JSON; MissingError when it is none."""
    try:
        transcript = json.loads(data, parse_constant=_refuse_constant)
    except ValueError as error:
        raise MissingError(f"{key} is no JSON") from error
    if not isinstance(transcript, dict):
        raise MissingError(f"{key} is no JSON object")
    return transcript


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
