"""The S3 door: what it signs, and how it fails. Real signatures are checked against a real S3 on the cluster."""

import asyncio
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from api_fakes import some_settings

from api.doors import UnavailableError
from api.uploads import S3Uploads


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
