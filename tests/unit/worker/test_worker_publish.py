"""The S3 door: what S3 says becomes a reason."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from crds.reasons import ExitCode, Reason
from crds.transcriptionjob import Source
from tests.support.worker_fakes import some_settings
from worker.errors import ResultDeniedError, StorageUnavailableError, WorkerError
from worker.publish import WRITE_PAUSES_SECONDS, Store, build_client

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

SOURCE = Source(bucket="media", key="videos/a.mp4", etag='"abc"')


@pytest.fixture(scope="module")
def client() -> "S3Client":
    return boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


@pytest.fixture
def s3(client: "S3Client") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def a_body(content: bytes, length: int | None = None) -> dict[str, Any]:
    size = len(content) if length is None else length
    return {"Body": StreamingBody(io.BytesIO(content), size), "ContentLength": size}


def never(seconds: float) -> None:
    pytest.fail(f"paused for {seconds} s")


ASKED = {"Bucket": "media", "Key": "videos/a.mp4", "Range": "bytes=2-6"}


@pytest.mark.parametrize("etag", ["abc", '"abc"'])
def test_a_range_of_the_pinned_file_is_opened(etag: str, client: "S3Client", s3: Stubber) -> None:
    s3.add_response("get_object", a_body(b"media") | {"ContentRange": "bytes 2-6/9"}, ASKED | {"IfMatch": '"abc"'})
    found = Store(client, "media").open_range(SOURCE.model_copy(update={"etag": etag}), 2, 7)
    assert (found.start, found.size_bytes, found.total_bytes, b"".join(found.chunks)) == (2, 5, 9, b"media")


def test_any_version_is_opened_when_none_is_pinned(client: "S3Client", s3: Stubber) -> None:
    s3.add_response("get_object", a_body(b"media") | {"ContentRange": "bytes 2-6/9", "ETag": '"new"'}, ASKED)
    assert Store(client, "media").open_range(SOURCE.model_copy(update={"etag": None}), 2, 7).etag == '"new"'


def test_the_whole_file_comes_when_the_server_knows_no_ranges(client: "S3Client", s3: Stubber) -> None:
    s3.add_response("get_object", a_body(b"the media"))
    found = Store(client, "media").open_range(SOURCE, 4, 7)
    assert (found.start, found.size_bytes, found.total_bytes) == (0, 9, 9)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("NoSuchKey", 404, Reason.INPUT_NOT_FOUND),
        ("NoSuchBucket", 404, Reason.INVALID_TASK),
        ("PreconditionFailed", 412, Reason.INPUT_CHANGED),
        ("AccessDenied", 403, Reason.INPUT_DENIED),
        ("InvalidAccessKeyId", 403, Reason.INPUT_DENIED),
        ("RequestTimeTooSkewed", 403, Reason.STORAGE_UNAVAILABLE),
        ("InvalidRange", 416, Reason.EMPTY_INPUT),
        ("SlowDown", 503, Reason.STORAGE_UNAVAILABLE),
        ("InternalError", 500, Reason.STORAGE_UNAVAILABLE),
    ],
)
def test_the_reason_is_told_when_the_file_cannot_be_had(
    code: str, status: int, reason: Reason, client: "S3Client", s3: Stubber
) -> None:
    s3.add_client_error("get_object", code, http_status_code=status)
    with pytest.raises(WorkerError) as caught:
        Store(client, "media").open_range(SOURCE, 0, 9)
    assert caught.value.reason is reason


def test_the_storage_is_unavailable_when_the_stream_breaks_off(client: "S3Client", s3: Stubber) -> None:
    s3.add_response("get_object", a_body(b"half", length=8))
    chunks = Store(client, "media").open_range(SOURCE, 0, 8).chunks
    assert next(chunks) == b"half"
    with pytest.raises(StorageUnavailableError):
        next(chunks)


class Keyless:
    def get_object(self, **_: Any) -> Any:
        raise NoCredentialsError

    put_object = get_object


def test_everything_is_denied_when_there_are_no_keys() -> None:
    keyless: Any = Keyless()
    with pytest.raises(WorkerError) as caught:
        Store(keyless, "media").open_range(SOURCE, 0, 9)
    assert caught.value.exit_code is ExitCode.INPUT_DENIED
    with pytest.raises(ResultDeniedError):
        Store(keyless, "media", never).write("t.json", b"{}", "application/json")


def test_a_file_is_stored_with_its_type(client: "S3Client", s3: Stubber) -> None:
    wanted = {"Bucket": "media", "Key": "t.json", "Body": b"{}", "ContentType": "application/json"}
    s3.add_response("put_object", {}, wanted)
    Store(client, "media").write("t.json", b"{}", "application/json")


@pytest.mark.parametrize(("code", "status"), [("InternalError", 500), ("RequestTimeTooSkewed", 403)])
def test_a_file_is_stored_again_when_it_was_lost(code: str, status: int, client: "S3Client", s3: Stubber) -> None:
    pauses: list[float] = []
    for _ in range(2):
        s3.add_client_error("put_object", code, http_status_code=status)
    s3.add_response("put_object", {})
    Store(client, "media", pauses.append).write("t.json", b"{}", "application/json")
    assert pauses == list(WRITE_PAUSES_SECONDS[:2])


def test_the_storage_is_unavailable_when_a_file_is_lost_again_and_again(client: "S3Client", s3: Stubber) -> None:
    pauses: list[float] = []
    for _ in range(len(WRITE_PAUSES_SECONDS) + 1):
        s3.add_client_error("put_object", "InternalError", http_status_code=500)
    with pytest.raises(StorageUnavailableError):
        Store(client, "media", pauses.append).write("t.json", b"{}", "application/json")
    assert 120 < sum(pauses) < 300
    assert pauses == sorted(pauses)


@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("Unauthorized", 401), ("NoSuchBucket", 404)])
def test_the_result_is_denied_at_once_when_it_may_not_be_stored(
    code: str, status: int, client: "S3Client", s3: Stubber
) -> None:
    s3.add_client_error("put_object", code, http_status_code=status)
    with pytest.raises(ResultDeniedError):
        Store(client, "media", never).write("t.json", b"{}", "application/json")


def test_a_stored_file_is_read_back(client: "S3Client", s3: Stubber) -> None:
    s3.add_response("get_object", a_body(b"{}"), {"Bucket": "media", "Key": ANY})
    assert Store(client, "media").read("t.json") == b"{}"


FIRST = {"Bucket": "media", "Key": "t.json", "Body": b"{}", "ContentType": "application/json", "IfNoneMatch": "*"}


def test_a_file_is_published_where_none_is(client: "S3Client", s3: Stubber) -> None:
    s3.add_response("put_object", {}, FIRST)
    assert Store(client, "media", never).publish("t.json", b"{}", "application/json") == b"{}"


def test_the_other_file_stands_when_one_is_there(client: "S3Client", s3: Stubber) -> None:
    s3.add_client_error("put_object", "PreconditionFailed", http_status_code=412, expected_params=FIRST)
    s3.add_response("get_object", a_body(b"theirs"))
    assert Store(client, "media", never).publish("t.json", b"{}", "application/json") == b"theirs"


@pytest.mark.parametrize(
    ("code", "status"), [("ConditionalRequestConflict", 409), ("InternalError", 500), ("SlowDown", 503)]
)
def test_a_file_is_published_again_when_that_is_not_certain(
    code: str, status: int, client: "S3Client", s3: Stubber
) -> None:
    pauses: list[float] = []
    s3.add_client_error("put_object", code, http_status_code=status, expected_params=FIRST)
    s3.add_client_error("put_object", "PreconditionFailed", http_status_code=412, expected_params=FIRST)
    s3.add_client_error("get_object", "InternalError", http_status_code=500)
    s3.add_response("get_object", a_body(b"{}"))
    assert Store(client, "media", pauses.append).publish("t.json", b"{}", "application/json") == b"{}"
    assert pauses == [WRITE_PAUSES_SECONDS[0]] * 2


def test_a_file_is_published_when_the_storage_knows_no_conditions(client: "S3Client", s3: Stubber) -> None:
    s3.add_client_error("put_object", "NotImplemented", http_status_code=501, expected_params=FIRST)
    s3.add_response("put_object", {}, {name: value for name, value in FIRST.items() if name != "IfNoneMatch"})
    assert Store(client, "media", never).publish("t.json", b"{}", "application/json") == b"{}"


@pytest.mark.parametrize(("code", "status"), [("NoSuchKey", 404), ("AccessDenied", 403)])
def test_nothing_is_found_when_nothing_is_there(code: str, status: int, client: "S3Client", s3: Stubber) -> None:
    s3.add_client_error("get_object", code, http_status_code=status)
    assert Store(client, "media").find("t.json") is None


def test_the_storage_is_unavailable_when_it_does_not_say_what_is_there(client: "S3Client", s3: Stubber) -> None:
    s3.add_client_error("get_object", "InternalError", http_status_code=500)
    with pytest.raises(StorageUnavailableError):
        Store(client, "media").find("t.json")


def test_a_file_is_removed(client: "S3Client", s3: Stubber) -> None:
    s3.add_response("delete_object", {}, {"Bucket": "media", "Key": "t.json"})
    Store(client, "media").remove("t.json")


def test_an_impatient_client_tries_once() -> None:
    config: Any = build_client(some_settings(s3_endpoint="http://s3:7070"), is_patient=False).meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (2, 5, 1)


def test_the_client_suits_servers_other_than_aws() -> None:
    config: Any = build_client(some_settings(s3_endpoint="http://s3:7070", s3_path_style=True)).meta.config
    assert config.s3 == {"addressing_style": "path"}
    assert config.request_checksum_calculation == "when_required"
