"""The S3 door: what it signs, and how it fails. Real signatures are checked against a real S3 on the cluster."""

import asyncio
import socket
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from api.doors import StoredObject, UnavailableError
from api.uploads import THREADS, S3Uploads
from tests.support.api_fakes import some_settings


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


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

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    async def run() -> StoredObject | None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        uploads = S3Uploads(some_settings(s3_endpoint=f"http://{host}:{port}", s3_path_style=True), call_seconds=60)
        try:
            return await uploads.head("videos/a.mp4")
        finally:
            await uploads.stop()
            server.close()

    return asyncio.run(run())


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
