"""The only S3 door: presigned uploads, and objects looked at, read, written and deleted. Built by __main__.

Two endpoints: the one that pods reach, and the one that browsers reach, because the host is signed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from api.doors import Download, RangeError, StoredObject, UnavailableError
from api.s3_dialect import MAY_NOT_LIST, add_content_md5, code_of, outcome_of, status_of, values_about

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3 import type_defs as shapes

    from api.settings import ApiSettings

CALL_SECONDS = 1.8
READ_SECONDS = 30.0
PUT_BYTES_PER_SECOND = 1024 * 1024
FILE_SECONDS = 600.0
STALL_SECONDS = 10
CHUNK_BYTES = 256 * 1024
BATCH = 100
"""Deletions of one call: S3 takes 1,000, but some servers need seconds for so many."""

THREADS = 16
FILE_THREADS = 4
DIGEST = "body-sha256"

Observe = Callable[[str, str, float], None]
"""Told of each call: operation, outcome (ok, not_found, refused, unavailable), seconds."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


def _observe_nothing(_operation: str, _outcome: str, _seconds: float) -> None: ...


class S3Uploads:
    """Implements doors.Uploads. boto3 blocks, so each call runs on a thread, with a deadline.

    Signing and whole files have threads of their own: neither waits for, nor holds up, the short calls.
    """

    def __init__(
        self, settings: "ApiSettings", call_seconds: float = CALL_SECONDS, observe: Observe = _observe_nothing
    ) -> None:
        self._call_seconds = call_seconds
        self._observe = observe
        self._bucket = settings.s3_bucket
        self._expiry_seconds = settings.upload_expiry_seconds
        self._inside = _build_client(settings, settings.s3_endpoint)
        self._public = _build_client(settings, settings.public_endpoint)
        self._patient = _build_client(settings, settings.s3_endpoint, STALL_SECONDS)
        self._is_found = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._file_threads = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="file")
        self._signers = ThreadPoolExecutor(1, thread_name_prefix="sign")

    async def stop(self) -> None:
        for threads in (self._threads, self._file_threads, self._signers):
            threads.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> None:
        if not self._is_found:
            try:
                await self._run("list", lambda: self._inside.list_objects_v2(Bucket=self._bucket, MaxKeys=1))
            except ClientError as error:
                code = code_of(error)
                if code != MAY_NOT_LIST:
                    found = f"S3 refuses the bucket {self._bucket}: {code}; see {values_about(code)}"
                    raise UnavailableError(found) from error
            except UnavailableError as error:
                cause = type(error.__cause__).__name__
                found = f"{error}: {str(error.__cause__) or cause}; see {values_about(cause)}"
                raise UnavailableError(found) from error.__cause__
            self._is_found = True

    async def presign_put(self, key: str, content_type: str) -> str:
        wanted = {"Bucket": self._bucket, "Key": key, "ContentType": content_type}
        return await self._run(
            "presign",
            lambda: self._public.generate_presigned_url("put_object", Params=wanted, ExpiresIn=self._expiry_seconds),
            threads=self._signers,
        )

    async def head(self, key: str) -> StoredObject | None:
        found = await self._head(key)
        return StoredObject(found["ETag"], found["ContentLength"]) if found else None

    async def open(self, key: str, byte_range: str | None = None) -> Download | None:
        """The first bytes are there when this returns, so that a read that cannot begin is still an error answer."""
        try:
            found = await self._find("get", lambda: self._begin(key, byte_range))
        except RangeError:
            stored = await self.head(key)
            if stored is None:
                return None
            raise RangeError(stored.size_bytes) from None
        if found is None:
            return None
        got, first = found
        chunks = self._chunks(first, got["Body"])
        await anext(chunks)
        return Download(got["ETag"], got["ContentLength"], chunks, got.get("ContentRange"))

    async def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """HEAD comes first, because it tells within seconds that S3 is down, and a file has minutes."""
        await self.head(key)
        try:
            return await self._run(
                "put", lambda: self._send(key, file, content_type), FILE_SECONDS, threads=self._file_threads
            )
        except ClientError as error:
            raise UnavailableError("S3 refused to store the file") from error

    async def delete_all(self, prefix: str) -> None:
        if not prefix.endswith("/"):
            raise ValueError("a prefix ends in a slash")
        after, is_more = "", True
        while is_more:
            page = await self._list(prefix, after)
            keys = [found["Key"] for found in page.get("Contents", ())]
            if keys:
                await self._find("delete", lambda batch=keys: self._delete(batch))  # type: ignore[misc]
                after = keys[-1]
            is_more = bool(keys) and page["IsTruncated"]

    async def put_once(self, key: str, body: bytes, digest: str) -> bool:
        """HEAD comes first, for the same reason; and what is there already is not sent again."""
        kept = await self._read_digest(key)
        return (await self._put_new(key, body, digest) if kept is None else kept) == digest

    async def _put_new(self, key: str, body: bytes, digest: str) -> str:
        wanted: shapes.PutObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": key,
            "Body": body,
            "ContentType": "application/json",
            "Metadata": {DIGEST: digest},
            "IfNoneMatch": "*",
        }
        seconds = self._call_seconds + len(body) / PUT_BYTES_PER_SECOND
        try:
            await self._run("put", lambda: self._inside.put_object(**wanted), seconds)
        except ClientError as error:
            if status_of(error) not in (409, 412):
                raise UnavailableError("S3 refused to store the callback") from error
        kept = await self._read_digest(key)
        if kept is None:
            raise UnavailableError("S3 has not kept what was stored")
        return kept

    async def _read_digest(self, key: str) -> str | None:
        found = await self._head(key)
        return found["Metadata"].get(DIGEST, "") if found else None

    async def _head(self, key: str) -> "shapes.HeadObjectOutputTypeDef | None":
        """None as well for a 403 or 400: so AWS answers for what is not there, to an account that may not list."""
        try:
            return await self._run("head", lambda: self._inside.head_object(Bucket=self._bucket, Key=key))
        except ClientError as error:
            status = status_of(error)
            if status not in (400, 403, 404):
                raise UnavailableError(f"S3 answered {status}") from error
            if status != 404:
                facts = {"status": status, "bucket": self._bucket, "key": key}
                logger.warning("S3 tells nothing: the account may lack s3:ListBucket or s3:GetObject", extra=facts)
            return None

    def _begin(self, key: str, byte_range: str | None) -> "tuple[shapes.GetObjectOutputTypeDef, bytes]":
        part = {"Range": byte_range} if byte_range else {}
        got = self._inside.get_object(Bucket=self._bucket, Key=key, **part)  # type: ignore[arg-type]
        with ExitStack() as opened:
            opened.callback(got["Body"].close)
            first = got["Body"].read(CHUNK_BYTES)
            if len(first) < min(CHUNK_BYTES, got["ContentLength"]):
                raise ConnectionError("the object broke off")
            opened.pop_all()  # it is read on
        return got, first

    def _send(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        size_bytes = file.seek(0, 2)
        file.seek(0)
        sent = self._patient.put_object(Bucket=self._bucket, Key=key, Body=file, ContentType=content_type)
        return StoredObject(sent["ETag"], size_bytes)

    def _delete(self, keys: Iterable[str]) -> None:
        wanted = [{"Key": key} for key in keys]
        left = self._inside.delete_objects(Bucket=self._bucket, Delete={"Objects": wanted, "Quiet": True}).get("Errors")  # type: ignore[typeddict-item]
        if left:
            raise ClientError({"Error": left[0], "ResponseMetadata": {"HTTPStatusCode": 403}}, "DeleteObjects")  # type: ignore[typeddict-item]

    async def _list(self, prefix: str, after: str) -> "shapes.ListObjectsV2OutputTypeDef":
        """The page of keys after one; by key and not by token, because what comes before is being deleted."""
        page = await self._find(
            "list",
            lambda: self._inside.list_objects_v2(Bucket=self._bucket, Prefix=prefix, StartAfter=after, MaxKeys=BATCH),
        )
        if page is None or "IsTruncated" not in page:
            raise UnavailableError("S3 does not list the bucket")
        return page

    async def _find(self, operation: str, call: Callable[[], T]) -> T | None:
        try:
            return await self._run(operation, call)
        except ClientError as error:
            status = status_of(error)
            if status == 404:
                return None
            if status == 416:
                raise RangeError(0) from error
            raise UnavailableError(f"S3 answered {status}") from error

    async def _run(
        self,
        operation: str,
        call: Callable[[], T],
        seconds: float | None = None,
        threads: ThreadPoolExecutor | None = None,
    ) -> T:
        """ClientError is what S3 answers; that it does not answer is an UnavailableError."""
        begin = time.monotonic()
        outcome = "ok"
        try:
            return await self._wait(call, seconds, threads)
        except ClientError as error:
            outcome = outcome_of(status_of(error))
            raise
        except UnavailableError:
            outcome = "unavailable"
            raise
        except asyncio.CancelledError:
            outcome = ""
            raise
        finally:
            if outcome:
                self._observe(operation, outcome, time.monotonic() - begin)

    async def _wait(
        self, call: Callable[[], T], seconds: float | None = None, threads: ThreadPoolExecutor | None = None
    ) -> T:
        done = asyncio.get_running_loop().run_in_executor(threads or self._threads, call)
        try:
            return await asyncio.wait_for(done, seconds or self._call_seconds)
        except (BotoCoreError, TimeoutError, OSError) as error:
            raise UnavailableError("S3 cannot be reached") from error

    async def _chunks(self, first: bytes, body: Any) -> AsyncGenerator[bytes]:
        """A thread is taken for a chunk at a time, and to close: that waits for a read which still goes on.

        Nothing comes first, and `open` takes it: to close a generator that has not begun would close nothing.
        """
        chunk = first
        try:
            yield b""
            while chunk:
                yield chunk
                chunk = await self._wait(lambda: body.read(CHUNK_BYTES), READ_SECONDS)
        except UnavailableError:
            self._observe("get", "unavailable", READ_SECONDS)
            raise
        finally:
            self._close(body)

    def _close(self, body: Any) -> None:
        try:
            self._threads.submit(body.close)
        except RuntimeError:
            body.close()


def _build_client(settings: "ApiSettings", endpoint: str | None, stall_seconds: int | None = None) -> "S3Client":
    """A client that gives up soon, or one that waits so long for each piece that goes either way."""
    client = boto3.client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=endpoint,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if settings.s3_path_style else "virtual"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=stall_seconds or 1,
            read_timeout=stall_seconds or 5,
            retries={"total_max_attempts": 1},
            max_pool_connections=THREADS,
        ),
    )
    client.meta.events.register("before-sign.s3.DeleteObjects", add_content_md5)
    return client
