"""The only door to S3: the media file in, range by range, the transcript out. Built by `process`."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from crds.transcriptionjob import Source
from worker.errors import (
    EmptyInputError,
    InputChangedError,
    InputDeniedError,
    InputNotFoundError,
    InvalidTaskError,
    ResultDeniedError,
    StorageUnavailableError,
    WorkerError,
)
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3.client import S3Client

CHUNK_BYTES = 1 << 18
WRITE_PAUSES_SECONDS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0)
"""Between tries to store a file, each of which is four of boto3's own: losing it would cost the whole run."""
NO_BUCKET_SENTENCE = "There is no such bucket: check the source of the request and send a new one."

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Range(NamedTuple):
    """A stretch of a file; a server that knows no ranges begins at the start, whatever it was asked for."""

    start: int
    size_bytes: int
    total_bytes: int
    etag: str | None
    chunks: Iterator[bytes]


class TakenError(Exception):
    """There is such a file already."""


def build_client(settings: WorkerSettings, is_patient: bool = True) -> "S3Client":
    """A client with the options that servers other than AWS need; an impatient one soon gives up."""
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=5 if is_patient else 2,
        read_timeout=30 if is_patient else 5,
        retries={"mode": "standard", "max_attempts": 4 if is_patient else 0},
        s3={"addressing_style": "path" if settings.s3_path_style else "auto"},
    )
    return boto3.client("s3", region_name=settings.s3_region, endpoint_url=settings.s3_endpoint, config=config)


class Store:
    """Reads media from any bucket, writes results to one."""

    def __init__(self, client: "S3Client", bucket: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._bucket = bucket
        self._pause = pause

    def open_range(self, source: Source, start: int, end: int) -> Range:
        """A stretch of the pinned file, to be read at once. A WorkerError says why it cannot be had."""
        pin = {"IfMatch": f'"{source.etag.strip(chr(34))}"'} if source.etag else {}
        try:
            answer = self._client.get_object(
                Bucket=source.bucket,
                Key=source.key,
                Range=f"bytes={start}-{end - 1}",
                **pin,  # type: ignore[arg-type]
            )
        except (ClientError, BotoCoreError) as error:
            raise _explain_fetch(error) from error
        size, whole = answer["ContentLength"], answer.get("ContentRange")
        total = int(whole.rpartition("/")[2]) if whole else size
        return Range(start if whole else 0, size, total, answer.get("ETag"), _read_chunks(answer["Body"]))

    def read(self, key: str) -> bytes:
        """A file that was stored earlier; StorageUnavailableError when it cannot be read."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise StorageUnavailableError(str(error)) from error

    def find(self, key: str) -> bytes | None:
        """A file that may be there. None, too, when it may not be read: whoever may not list hears no other word."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            if _parse(error)[1] in {401, 403, 404}:
                return None
            raise StorageUnavailableError(str(error)) from error

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Store a file, in many tries if need be.

        ResultDeniedError at once when it may not be stored; StorageUnavailableError when it is not certain to be there.
        """
        self._insist(key, lambda: self.put(key, body, content_type))

    def publish(self, key: str, body: bytes, content_type: str) -> bytes:
        """Store a file where none is, as surely as `write`; what is stored now, which may be another's."""
        try:
            self._insist(key, lambda: self._put_first(key, body, content_type))
        except TakenError:
            return self._insist(key, lambda: self.read(key))
        return body

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store a file, in one try."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
        except (ClientError, BotoCoreError) as error:
            raise _explain_write(error) from error

    def remove(self, key: str) -> None:
        """Delete a file, in one try; again changes nothing."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise _explain_write(error) from error

    def _put_first(self, key: str, body: bytes, content_type: str) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*")
        except (ClientError, BotoCoreError) as error:
            status = _parse(error)[1]
            if status == 412:
                raise TakenError(key) from error
            if status != 501:
                raise _explain_write(error) from error
            logger.warning("storage knows no conditions", extra={"key": key})
            self.put(key, body, content_type)

    def _insist(self, key: str, act: Callable[[], T]) -> T:
        for pause_seconds in WRITE_PAUSES_SECONDS:
            try:
                return act()
            except StorageUnavailableError as error:
                facts = {"key": key, "error": str(error), "retry_in_seconds": pause_seconds}
                logger.warning("file not stored", extra=facts)
            self._pause(pause_seconds)
        return act()


def _read_chunks(body: "StreamingBody") -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(CHUNK_BYTES)
    except (BotoCoreError, OSError) as error:
        raise StorageUnavailableError(str(error)) from error
    finally:
        body.close()


def _explain_fetch(error: ClientError | BotoCoreError) -> WorkerError:
    code, status = _parse(error)
    if code == "NoSuchBucket":
        return InvalidTaskError(str(error), NO_BUCKET_SENTENCE)
    fitting: Callable[[str], WorkerError] = _BY_STATUS.get(status, StorageUnavailableError)
    return fitting(str(error))


def _explain_write(error: ClientError | BotoCoreError) -> WorkerError:
    code, status = _parse(error)
    is_denied = code == "NoSuchBucket" or status in {401, 403}
    return ResultDeniedError(str(error)) if is_denied else StorageUnavailableError(str(error))


def _parse(error: ClientError | BotoCoreError) -> tuple[str, int]:
    """S3's code and HTTP status. No keys are as good as a 401; a clock that is off is no question of rights."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "", 401
    if not isinstance(error, ClientError):
        return "", 0
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code, 0 if code == "RequestTimeTooSkewed" else status


_BY_STATUS: dict[int, Callable[[str], WorkerError]] = {
    401: InputDeniedError,
    403: InputDeniedError,
    404: InputNotFoundError,
    412: InputChangedError,
    416: EmptyInputError,
}
