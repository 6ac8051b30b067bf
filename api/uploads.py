"""The only S3 door: presigned uploads, HEAD, reading and writing objects. Built by __main__, used by routes.

Two endpoints: the one that pods reach, and the one that browsers reach, because the host is signed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from api.doors import Download, StoredObject, UnavailableError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from api.settings import ApiSettings

CALL_SECONDS = 2.0
PUT_SECONDS = 30.0
CHUNK_BYTES = 256 * 1024
THREADS = 16
DIGEST = "body-sha256"

T = TypeVar("T")

logger = logging.getLogger(__name__)


class S3Uploads:
    """Implements doors.Uploads. boto3 blocks, so each call runs on a thread of its own pool, with a deadline."""

    def __init__(self, settings: "ApiSettings", call_seconds: float = CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        self._bucket = settings.s3_bucket
        self._expiry_seconds = settings.upload_expiry_seconds
        self._inside = _build_client(settings, settings.s3_endpoint)
        self._public = _build_client(settings, settings.public_endpoint)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._signers = ThreadPoolExecutor(1, thread_name_prefix="sign")

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._signers.shutdown(wait=False, cancel_futures=True)

    async def presign_put(self, key: str, content_type: str) -> str:
        wanted = {"Bucket": self._bucket, "Key": key, "ContentType": content_type}
        return await self._run(
            lambda: self._public.generate_presigned_url("put_object", Params=wanted, ExpiresIn=self._expiry_seconds),
            threads=self._signers,
        )

    async def head(self, key: str) -> StoredObject | None:
        """None as well for a 403 or 400: so AWS answers for what is not there, to an account that may not list."""
        try:
            found = await self._run(lambda: self._inside.head_object(Bucket=self._bucket, Key=key))
        except ClientError as error:
            status = _status_of(error)
            if status not in (400, 403, 404):
                raise UnavailableError(f"S3 answered {status}") from error
            if status != 404:
                facts = {"status": status, "bucket": self._bucket, "key": key}
                logger.warning("S3 tells nothing: the account may lack s3:ListBucket or s3:GetObject", extra=facts)
            return None
        return StoredObject(found["ETag"], found["ContentLength"])

    async def open(self, key: str) -> Download | None:
        found = await self._find(lambda: self._inside.get_object(Bucket=self._bucket, Key=key))
        if found is None:
            return None
        return Download(found["ETag"], found["ContentLength"], self._chunks(found["Body"]))

    async def put_once(self, key: str, body: bytes, digest: str) -> bool:
        try:
            await self._run(
                lambda: self._inside.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    ContentType="application/json",
                    Metadata={DIGEST: digest},
                    IfNoneMatch="*",
                ),
                PUT_SECONDS,
            )
        except ClientError as error:
            if _status_of(error) not in (409, 412):
                raise UnavailableError("S3 refused to store the callback") from error
        stored = await self._find(lambda: self._inside.head_object(Bucket=self._bucket, Key=key))
        if stored is None:
            raise UnavailableError("S3 has not kept what was stored")
        return stored["Metadata"].get(DIGEST) == digest

    async def _find(self, call: Callable[[], T]) -> T | None:
        try:
            return await self._run(call)
        except ClientError as error:
            if _status_of(error) == 404:
                return None
            raise UnavailableError(f"S3 answered {_status_of(error)}") from error

    async def _run(
        self, call: Callable[[], T], seconds: float | None = None, threads: ThreadPoolExecutor | None = None
    ) -> T:
        done = asyncio.get_running_loop().run_in_executor(threads or self._threads, call)
        try:
            return await asyncio.wait_for(done, seconds or self._call_seconds)
        except (BotoCoreError, TimeoutError, OSError) as error:
            raise UnavailableError("S3 cannot be reached") from error

    async def _chunks(self, body: Any) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._run(lambda: body.read(CHUNK_BYTES), PUT_SECONDS):
                yield chunk
        finally:
            body.close()


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _build_client(settings: "ApiSettings", endpoint: str | None) -> "S3Client":
    return boto3.client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=endpoint,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if settings.s3_path_style else "virtual"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=1,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            max_pool_connections=THREADS,
        ),
    )
