"""The only door to S3: the media file in, the transcript out. Called by the pipeline, built by `__main__`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from crds.transcriptionjob import Source
from worker.errors import (
    EmptyInputError,
    InputChangedError,
    InputDeniedError,
    InputNotFoundError,
    StorageUnavailableError,
    TooLongError,
    WorkerError,
)
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CHUNK_BYTES = 1 << 20


def build_client(settings: WorkerSettings) -> "S3Client":
    """A client with the options that servers other than AWS need."""
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "max_attempts": 4},
        s3={"addressing_style": "path" if settings.s3_path_style else "auto"},
    )
    return boto3.client("s3", region_name=settings.s3_region, endpoint_url=settings.s3_endpoint, config=config)


class Store:
    """One bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def fetch(self, source: Source, path: Path, max_bytes: int) -> int:
        """Write the pinned file to `path`; its size in bytes. A WorkerError says why it cannot be had."""
        pin = {"IfMatch": f'"{source.etag.strip(chr(34))}"'} if source.etag else {}
        try:
            answer = self._client.get_object(Bucket=source.bucket, Key=source.key, **pin)  # type: ignore[arg-type]
            size_bytes = answer["ContentLength"]
            _check_size(size_bytes, max_bytes)
            with path.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                    file.write(chunk)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise InputDeniedError(str(error)) from error
        except ClientError as error:
            raise _explain(error) from error
        except BotoCoreError as error:
            raise StorageUnavailableError(str(error)) from error
        return size_bytes

    def read(self, key: str) -> bytes:
        """A file that was stored earlier; StorageUnavailableError when it cannot be read."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise StorageUnavailableError(str(error)) from error

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Store a file; StorageUnavailableError when it is not certain to be there."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
        except (ClientError, BotoCoreError) as error:
            raise StorageUnavailableError(str(error)) from error


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes == 0:
        raise EmptyInputError("0 bytes")
    if size_bytes > max_bytes:
        raise TooLongError(f"{size_bytes} bytes")


def _explain(error: ClientError) -> WorkerError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    fitting: Callable[[str], WorkerError] = _BY_STATUS.get(status, StorageUnavailableError)
    return fitting(str(error))


_BY_STATUS: dict[int, Callable[[str], WorkerError]] = {
    401: InputDeniedError,
    403: InputDeniedError,
    404: InputNotFoundError,
    412: InputChangedError,
}
