import asyncio
import io
import json
from hashlib import sha256
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from controller.errors import DeniedError, MissingError, RefusedError, TransientError
from controller.results import MAX_TRANSCRIPT_BYTES, Results
from crds.transcriptionjob import Result, Status
from tests.support.controller_fakes import RESULT, UID, a_transcription

STORED = b'{"text": "hello"}\n'


class FakeS3:
    def __init__(self, data: bytes = b"", error: Exception | None = None, length: int | None = None) -> None:
        self._answer = {"ContentLength": len(data) if length is None else length, "Body": io.BytesIO(data)}
        self._error = error

    def get_object(self, **asked: str) -> dict[str, Any]:
        assert asked == {"Bucket": "media", "Key": RESULT.key}
        if self._error:
            raise self._error
        return self._answer


def read(s3: FakeS3, digest: str = RESULT.sha256) -> bytes:
    client: Any = s3
    return asyncio.run(Results(client, "media").read(RESULT.model_copy(update={"sha256": digest})))


def test_stored_bytes_are_given_as_they_are() -> None:
    assert json.loads(read(FakeS3(STORED))) == {"text": "hello"}
    assert read(FakeS3(STORED), sha256(STORED).hexdigest()) == STORED


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{} {}", b'{"a": NaN}', b'{"a": Infinity}', b"\xff{}"])
def test_transcript_is_missing_when_it_is_no_strict_json(data: bytes) -> None:
    with pytest.raises(MissingError):
        read(FakeS3(data))


def test_transcript_is_refused_when_it_is_larger_than_receivers_take() -> None:
    with pytest.raises(RefusedError):
        read(FakeS3(length=MAX_TRANSCRIPT_BYTES + 1))


def find(s3: FakeS3) -> Result | None:
    client: Any = s3
    transcription = a_transcription(Status(attempt=1), formats=["vtt"])
    return asyncio.run(Results(client, "media").find(transcription))


def test_a_stored_transcript_is_described_when_nobody_has_told_of_it() -> None:
    told = {"text": "a", "segments": [{}, {}], "language": "en", "figures": {"audio_seconds": 7.5}}
    data = json.dumps(told).encode()
    assert find(FakeS3(data)) == Result(
        key=RESULT.key, sha256=sha256(data).hexdigest(), bytes=len(data), formats=("json", "vtt"), language="en",
        duration_seconds=7.5, segments=2,
    )  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"segments": 3, "language": "en"}', b'{"a": NaN}', b"\xff"])
def test_nothing_is_found_when_what_is_stored_is_no_transcript(data: bytes) -> None:
    assert find(FakeS3(data)) is None


def test_nothing_is_found_when_nothing_may_be_read_or_is_there_and_a_storage_that_is_away_is_asked_again() -> None:
    for code, status in (("NoSuchKey", 404), ("AccessDenied", 403)):
        assert find(FakeS3(error=an_answer(code, status))) is None
    with pytest.raises(TransientError):
        find(FakeS3(error=an_answer("SlowDown", 503)))


def an_answer(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


ERRORS = [
    (an_answer("NoSuchKey", 404), MissingError),
    (an_answer("AccessDenied", 403), DeniedError),
    (an_answer("InvalidAccessKeyId", 403), DeniedError),
    (an_answer("SlowDown", 503), TransientError),
    (an_answer("RequestTimeTooSkewed", 403), TransientError),
    (an_answer("Throttling", 400), TransientError),
    (an_answer("InternalError", 500), TransientError),
    (EndpointConnectionError(endpoint_url="http://s3"), TransientError),
    (NoCredentialsError(), DeniedError),
]


@pytest.mark.parametrize(("error", "wanted"), ERRORS)
def test_each_error_of_s3_becomes_ours(error: Exception, wanted: type[Exception]) -> None:
    with pytest.raises(wanted):
        read(FakeS3(error=error))


class FakeBucket:
    """Lists two pages, or raises what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.deleted: list[str] = []

    def get_paginator(self, _: str) -> "FakeBucket":
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        assert asked == {"Bucket": "media", "Prefix": f"transcripts/ns/clip/{UID}/"}
        if self._error:
            raise self._error
        return [{"Contents": [{"Key": "a"}, {"Key": "b"}]}, {}]

    def delete_object(self, **asked: str) -> None:
        self.deleted.append(asked["Key"])


def delete(bucket: FakeBucket) -> None:
    client: Any = bucket
    asyncio.run(Results(client, "media").delete_outputs(a_transcription()))


def test_files_of_all_attempts_are_deleted() -> None:
    bucket = FakeBucket()
    delete(bucket)
    assert bucket.deleted == ["a", "b"]


def test_nothing_is_left_to_delete_when_the_bucket_is_gone() -> None:
    delete(FakeBucket(an_answer("NoSuchBucket", 404)))


@pytest.mark.parametrize(("error", "wanted"), [ERRORS[1], ERRORS[3], ERRORS[7], ERRORS[8]])
def test_error_is_told_when_files_cannot_be_deleted(error: Exception, wanted: type[Exception]) -> None:
    with pytest.raises(wanted):
        delete(FakeBucket(error))
