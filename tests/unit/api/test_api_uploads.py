"""The S3 door: what it signs, and how it fails. Real signatures are checked against a real S3 on the cluster."""

import asyncio
import io
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, SSLError
from pydantic import ValidationError

from api.doors import RangeError, StoredObject, UnavailableError
from api.uploads import THREADS, S3Uploads, _build_client
from tests.support.api_fakes import some_settings


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True, scope="module")
def _one_place() -> Iterator[None]:
    """Canned answers all come from one port, so that their clients need not be built anew: that is slow."""
    with socket.create_server(("127.0.0.1", 0)) as CannedS3.place, pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.uploads._build_client", CannedS3.build_client)
        yield


def presign(**changes: Any) -> str:
    async def run() -> str:
        uploads = S3Uploads(some_settings(**changes))
        try:
            return await uploads.presign_put("videos/a b.mp4", "video/mp4")
        finally:
            await uploads.stop()

    return asyncio.run(run())


def head_answered(status: int) -> StoredObject | None:
    """What HEAD makes of an answer without a body."""
    return CannedS3(*[closing(status)] * 3).run(lambda uploads: uploads.head("videos/a.mp4"))


def test_only_host_and_content_type_are_signed_for_the_public_endpoint() -> None:
    url = urlsplit(presign(s3_public_endpoint="http://127.0.0.1:9000", s3_path_style=True, upload_expiry_seconds=60))
    query = parse_qs(url.query)
    assert url.netloc == "127.0.0.1:9000"
    assert url.path == "/media/videos/a%20b.mp4"
    assert query["X-Amz-SignedHeaders"] == ["content-type;host"]
    assert query["X-Amz-Expires"] == ["60"]
    assert not [name for name in query if "checksum" in name.lower()]


def test_without_an_endpoint_the_host_is_the_bucket_at_aws() -> None:
    url = urlsplit(presign(s3_endpoint=None, s3_region="us-west-2"))
    assert url.netloc in ("media.s3.amazonaws.com", "media.s3.us-west-2.amazonaws.com")


def test_signing_does_not_wait_for_calls_that_hang() -> None:
    async def run() -> None:
        uploads = S3Uploads(some_settings(), call_seconds=60)
        is_over = threading.Event()
        calls = [uploads._threads.submit(is_over.wait) for _ in range(2 * THREADS)]
        try:
            assert "X-Amz-Signature" in await uploads.presign_put("videos/a.mp4", "video/mp4")
            assert not any(call.done() for call in calls)
        finally:
            is_over.set()
            await uploads.stop()

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_may_not_be_seen_is_not_there_and_the_log_says_what_to_check(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert head_answered(status) is None
    told = [record.message for record in caplog.records if record.name == "api.uploads"]
    assert told == ([] if status == 404 else ["S3 tells nothing: the account may lack s3:ListBucket or s3:GetObject"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_s3_that_is_busy_is_unavailable(status: int) -> None:
    with pytest.raises(UnavailableError):
        head_answered(status)


def test_an_endpoint_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async def run() -> None:
            uploads = S3Uploads(some_settings(s3_endpoint=endpoint, s3_path_style=True))
            try:
                with pytest.raises(UnavailableError):
                    await uploads.head("videos/a.mp4")
            finally:
                await uploads.stop()

        asyncio.run(run())


def test_an_endpoint_that_hangs_is_unavailable_within_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def run() -> None:
            endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
            uploads = S3Uploads(some_settings(s3_endpoint=endpoint, s3_path_style=True), call_seconds=0.05)
            try:
                with pytest.raises(UnavailableError):
                    await uploads.head("videos/a.mp4")
            finally:
                server.accept()[0].close()
                await uploads.stop()

        asyncio.run(run())


T = TypeVar("T")


class CannedS3:
    """Answers each request with the next of some canned answers, and keeps what was asked."""

    place: ClassVar[socket.socket]
    build_client = staticmethod(cache(_build_client))

    def __init__(self, *answers: bytes, breaks_off: bool = False) -> None:
        self.answers = list(answers)
        self.breaks_off = breaks_off
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.seen: list[tuple[str, str]] = []
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.rstrip().split("\r\n")
        headers = {name.lower(): text for name, text in (field.split(": ", 1) for field in fields)}
        self.asked.append((line, headers))
        answer = self.answers.pop(0)
        await reader.readexactly(int(headers.get("content-length", 0)) if "expect" not in headers else 0)
        writer.write(answer)
        if self.breaks_off:
            writer.write_eof()
        if b"Connection: close" not in answer and answer:
            with suppress(ConnectionError):
                await reader.read()
            self.gone.set()
        writer.close()

    def run(self, story: Callable[[S3Uploads], Awaitable[T]]) -> T:
        async def run() -> T:
            server = await asyncio.start_server(self.serve, sock=self.place.dup())
            host, port = server.sockets[0].getsockname()
            settings = some_settings(s3_endpoint=f"http://{host}:{port}", s3_path_style=True)
            uploads = S3Uploads(settings, 60, lambda *call: self.seen.append(call[:2]))
            try:
                return await story(uploads)
            finally:
                await uploads.stop()
                server.close()
                if any(operation == "get" for operation, _ in self.seen):
                    self.build_client.cache_clear()  # half-read answers stay with their client

        return asyncio.run(run())


def canned(status: int, body: bytes = b"", length: int | None = None, **headers: str) -> bytes:
    named = {"ETag": '"e"', **{name.replace("_", "-"): text for name, text in headers.items()}}
    lines = "".join(f"{name}: {text}\r\n" for name, text in named.items())
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{lines}\r\n".encode() + body


def closing(status: int, body: bytes = b"", length: int | None = None, **headers: str) -> bytes:
    return canned(status, body, length, Connection="close", **headers)


def refusing(status: int, code: str) -> bytes:
    return closing(status, f"<Error><Code>{code}</Code></Error>".encode())


@pytest.mark.parametrize(
    ("status", "code", "values"),
    [
        (404, "NoSuchBucket", "s3.bucket"),
        (403, "InvalidAccessKeyId", "the keys in api.s3Secret"),
        (403, "SignatureDoesNotMatch", "the keys in api.s3Secret"),
        (400, "IllegalLocation", "the s3 values"),
        (404, "404", "s3.endpoint"),
    ],
)
def test_the_bucket_cannot_be_used_when_s3_refuses_it(status: int, code: str, values: str) -> None:
    with pytest.raises(UnavailableError, match=f"{code}; see {values}"):
        CannedS3(refusing(status, code)).run(S3Uploads.look)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (SSLError(endpoint_url="https://s3", error="self-signed"), "self-signed; see s3.caBundle"),
        (EndpointConnectionError(endpoint_url="http://s3"), '"http://s3"; see s3.endpoint'),
        (NoCredentialsError(), "credentials; see the keys in api.s3Secret"),
        (TimeoutError(), "TimeoutError; see s3.endpoint"),
    ],
)
def test_the_values_are_named_when_s3_is_out_of_reach(
    fault: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise fault

    async def look() -> None:
        uploads = S3Uploads(some_settings())
        monkeypatch.setattr(uploads._inside, "list_objects_v2", fail)
        try:
            await uploads.look()
        finally:
            await uploads.stop()

    with pytest.raises(UnavailableError, match=f"S3 cannot be reached: .*{re.escape(words)}"):
        asyncio.run(look())


@pytest.mark.parametrize(
    "answer", [closing(200, b"<ListBucketResult></ListBucketResult>"), refusing(403, "AccessDenied")]
)
def test_a_bucket_that_was_found_is_not_looked_for_again(answer: bytes) -> None:
    s3 = CannedS3(refusing(404, "NoSuchBucket"), answer)

    async def story(uploads: S3Uploads) -> None:
        with pytest.raises(UnavailableError):
            await uploads.look()
        await uploads.look()
        await uploads.look()

    s3.run(story)
    assert len(s3.asked) == 2


def test_a_range_is_asked_of_s3_and_its_place_is_told() -> None:
    s3 = CannedS3(closing(206, b"bcd", Content_Range="bytes 1-3/9"))

    async def story(uploads: S3Uploads) -> tuple[str | None, bytes]:
        found = await uploads.open("a.json", "bytes=1-3")
        assert found is not None
        assert (found.etag, found.size_bytes) == ('"e"', 3)
        return found.content_range, b"".join([chunk async for chunk in found.chunks])

    assert s3.run(story) == ("bytes 1-3/9", b"bcd")
    assert s3.asked[0][1]["range"] == "bytes=1-3"
    assert s3.seen == [("get", "ok")]


def test_a_range_behind_the_end_tells_the_size() -> None:
    s3 = CannedS3(closing(416), closing(200, length=9))
    with pytest.raises(RangeError) as caught:
        s3.run(lambda uploads: uploads.open("a.json", "bytes=9-"))
    assert caught.value.size_bytes == 9


def test_an_object_that_breaks_off_is_unavailable() -> None:
    s3 = CannedS3(closing(200, b"x" * 300_000, 900_000))

    async def story(uploads: S3Uploads) -> int:
        found = await uploads.open("a.json")
        assert found is not None
        read = 0
        with pytest.raises(UnavailableError):
            async for chunk in found.chunks:
                read += len(chunk)
        return read

    assert 0 < s3.run(story) < 900_000
    assert s3.seen == [("get", "ok"), ("get", "unavailable")]


def test_an_object_that_breaks_off_at_once_is_unavailable_before_anything_is_answered() -> None:
    with pytest.raises(UnavailableError):
        CannedS3(closing(200, b"x", 900_000)).run(lambda uploads: uploads.open("a.json"))


def test_the_connection_is_closed_when_the_object_breaks_off_at_once() -> None:
    async def story(uploads: S3Uploads) -> None:
        with pytest.raises(UnavailableError) as caught:
            await uploads.open("a.json")
        async with asyncio.timeout(5):
            await s3.gone.wait()
        assert caught.tb, "which would keep a connection that is left open"

    s3 = CannedS3(canned(200, b"x", 900_000), breaks_off=True)
    s3.run(story)


def test_the_connection_is_closed_when_nobody_reads_on() -> None:
    async def story(uploads: S3Uploads) -> None:
        found = await uploads.open("a.json")
        assert found is not None
        assert await anext(found.chunks)
        await found.chunks.aclose()
        async with asyncio.timeout(5):
            await s3.gone.wait()

    s3 = CannedS3(canned(200, b"x" * 300_000, 900_000))
    s3.run(story)


def test_the_connection_is_closed_when_nobody_reads_at_all() -> None:
    async def story(uploads: S3Uploads) -> None:
        found = await uploads.open("a.json")
        assert found is not None
        await found.chunks.aclose()
        async with asyncio.timeout(5):
            await s3.gone.wait()

    s3 = CannedS3(canned(200, b"x" * 300_000, 900_000))
    s3.run(story)


KEPT = closing(200, x_amz_meta_body_sha256="d")


@pytest.mark.parametrize(("digest", "is_kept"), [("d", True), ("other", False)])
def test_a_callback_that_is_kept_already_is_not_sent_again(digest: str, is_kept: bool) -> None:
    s3 = CannedS3(KEPT)
    assert s3.run(lambda uploads: uploads.put_once("a.json", b"{}", digest)) is is_kept
    assert s3.seen == [("head", "ok")]


@pytest.mark.parametrize("absent", [404, 403])
@pytest.mark.parametrize("taken", [200, 412])
def test_a_callback_is_kept_when_there_is_none(absent: int, taken: int) -> None:
    s3 = CannedS3(closing(absent), closing(taken), KEPT)
    assert s3.run(lambda uploads: uploads.put_once("a.json", b"{}", "d"))
    assert [line.split()[0] for line, _ in s3.asked] == ["HEAD", "PUT", "HEAD"]
    assert s3.asked[1][1]["if-none-match"] == "*"


def test_a_callback_that_is_not_there_afterwards_is_no_success() -> None:
    with pytest.raises(UnavailableError):
        CannedS3(closing(404), closing(200), closing(404)).run(lambda uploads: uploads.put_once("a.json", b"{}", "d"))


def test_a_callback_is_given_up_within_the_deadline_of_a_short_call_when_s3_hangs() -> None:
    seen: list[tuple[str, str]] = []

    async def run(endpoint: str) -> None:
        settings = some_settings(s3_endpoint=endpoint, s3_path_style=True)
        uploads = S3Uploads(settings, 0.05, lambda *call: seen.append(call[:2]))
        with pytest.raises(UnavailableError):
            await uploads.put_once("a.json", b"{}", "d")
        await uploads.stop()

    with socket.create_server(("127.0.0.1", 0)) as server:
        asyncio.run(run(f"http://127.0.0.1:{server.getsockname()[1]}"))
        server.accept()[0].close()
    assert seen == [("head", "unavailable")]


def test_a_file_is_sent_from_its_beginning_and_left_open() -> None:
    s3 = CannedS3(closing(404), closing(200))
    file = io.BytesIO(b"sound")
    file.read()
    assert s3.run(lambda uploads: uploads.put_file("a.wav", file, "audio/wav")) == StoredObject('"e"', 5)
    assert not file.closed
    assert s3.asked[1][0].startswith("PUT /media/a.wav ")
    assert (s3.asked[1][1]["content-length"], s3.asked[1][1]["content-type"]) == ("5", "audio/wav")
    assert s3.seen == [("head", "not_found"), ("put", "ok")]


@pytest.mark.parametrize(("status", "outcome"), [(403, "refused"), (503, "unavailable")])
def test_a_file_that_s3_does_not_take_is_unavailable(status: int, outcome: str) -> None:
    s3 = CannedS3(closing(404), closing(status))
    with pytest.raises(UnavailableError):
        s3.run(lambda uploads: uploads.put_file("a.wav", io.BytesIO(b"sound"), "audio/wav"))
    assert s3.seen[-1] == ("put", outcome)


def listed(*keys: str, is_more: bool = False) -> bytes:
    found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    more = str(is_more).lower()
    return closing(200, f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{found}</ListBucketResult>".encode())


def test_all_below_a_prefix_is_deleted_page_by_page() -> None:
    done = closing(200, b"<DeleteResult/>")
    s3 = CannedS3(listed("a/1", "a/2", is_more=True), done, listed("a/3"), done)
    s3.run(lambda uploads: uploads.delete_all("a/"))
    assert [line.split()[0] for line, _ in s3.asked] == ["GET", "POST", "GET", "POST"]
    assert parse_qs(urlsplit(s3.asked[2][0].split()[1]).query)["start-after"] == ["a/2"]
    assert s3.asked[1][1]["content-md5"]
    assert s3.seen == [("list", "ok"), ("delete", "ok")] * 2


def test_what_s3_does_not_delete_is_no_success() -> None:
    left = b"<DeleteResult><Error><Key>a/1</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    s3 = CannedS3(listed("a/1"), closing(200, left))
    with pytest.raises(UnavailableError):
        s3.run(lambda uploads: uploads.delete_all("a/"))
    assert s3.seen[-1] == ("delete", "refused")


@pytest.mark.parametrize("answer", [closing(404), closing(403), closing(200, b"<p>Welcome</p>")])
def test_what_is_not_listed_is_not_taken_for_deleted(answer: bytes) -> None:
    with pytest.raises(UnavailableError):
        CannedS3(answer).run(lambda uploads: uploads.delete_all("a/"))


def test_a_prefix_that_another_id_may_begin_with_is_refused() -> None:
    with pytest.raises(ValueError, match="slash"):
        CannedS3().run(lambda uploads: uploads.delete_all("transcripts/a"))


@pytest.mark.parametrize("seconds", [8 * 86400, 0, -1])
def test_case_75_an_url_lives_for_a_week_at_most(seconds: int) -> None:
    with pytest.raises(ValidationError):
        some_settings(upload_expiry_seconds=seconds)
