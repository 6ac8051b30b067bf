"""The only S3 door of the controller, read-only: the stored transcript, for callbacks. Called by the outbox."""

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from controller.errors import MissingError, RefusedError, TransientError
from controller.settings import ControllerSettings
from crds.transcriptionjob import Result

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MAX_TRANSCRIPT_BYTES = 256 * 1024 * 1024
GONE_CODES = {"NoSuchKey", "NoSuchBucket", "404"}


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

    async def read(self, result: Result) -> dict[str, Any]:
        """Whisper's own JSON; MissingError when it is gone or is no JSON object."""
        data = await asyncio.to_thread(self._get, result.key)
        try:
            transcript = json.loads(data)
        except ValueError as error:
            raise MissingError(f"{result.key} is no JSON") from error
        if not isinstance(transcript, dict):
            raise MissingError(f"{result.key} is no JSON object")
        return transcript

    def _get(self, key: str) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            if answer["ContentLength"] > MAX_TRANSCRIPT_BYTES:
                raise RefusedError(f"{key} is larger than {MAX_TRANSCRIPT_BYTES} bytes")
            with answer["Body"] as body:
                return body.read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in GONE_CODES:
                raise MissingError(f"{key} is gone") from error
            raise TransientError(f"{key}: {error}") from error
        except BotoCoreError as error:
            raise TransientError(f"{key}: {error}") from error
