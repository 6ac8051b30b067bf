"""A presigned URL lets one file of one type in, for a time. The S3 server verifies signatures as S3 does."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from api.settings import ApiSettings
from api.uploads import S3Uploads
from tests.support.bucket import Bucket
from tests.support.kubectl import Kubectl
from tests.support.service import Document, Service, put
from tests.support.waiting import wait_for

BODY = b"not much of a video"


@pytest.fixture
def ticket(service: Service) -> Document:
    return service.generate_url("sample.mp4", "video/mp4")


def test_s3_takes_the_file_when_all_is_as_signed(ticket: Document, bucket: Bucket) -> None:
    assert put(ticket["upload_url"], BODY, "video/mp4").status_code == 200
    assert bucket.read(ticket["fileKey"]) == BODY


def test_s3_refuses_the_file_when_its_type_is_another(ticket: Document, bucket: Bucket) -> None:
    answer = put(ticket["upload_url"], BODY, "text/html")
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text
    assert bucket.list(ticket["fileKey"]) == []


def test_s3_refuses_the_file_when_the_key_is_another(ticket: Document, bucket: Bucket) -> None:
    other = ticket["fileKey"].replace("sample", "other")
    answer = put(ticket["upload_url"].replace("sample", "other"), BODY, "video/mp4")
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text
    assert bucket.list(other) == []


def test_s3_refuses_the_file_when_its_signature_is_forged(ticket: Document, bucket: Bucket) -> None:
    url, _, signature = ticket["upload_url"].rpartition("X-Amz-Signature=")
    assert put(f"{url}X-Amz-Signature={signature[::-1]}", BODY, "video/mp4").status_code == 403
    assert bucket.list(ticket["fileKey"]) == []


def test_s3_refuses_the_file_when_the_time_is_stretched(ticket: Document) -> None:
    stretched = ticket["upload_url"].replace("X-Amz-Expires=900", "X-Amz-Expires=604800")
    assert stretched != ticket["upload_url"]
    assert put(stretched, BODY, "video/mp4").status_code == 403


@pytest.fixture
def brief_url(kubectl: Kubectl, service: Service, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL as the running API signs them, but that its time is one second: its own code, settings and account."""
    env = kubectl.run("exec", "deployment/transcription-api", "--", "env").splitlines()
    for name, _, value in (line.partition("=") for line in env):
        if name.startswith(("API_", "AWS_")):
            monkeypatch.setenv(name, value)
    uploads = S3Uploads(ApiSettings(upload_expiry_seconds=1))
    key = service.generate_url("late.mp4", "video/mp4")["fileKey"]
    try:
        return asyncio.run(uploads.presign_put(key, "video/mp4"))
    finally:
        asyncio.run(uploads.stop())


def test_s3_refuses_the_file_when_the_time_is_over(brief_url: str, ticket: Document) -> None:
    def shape(url: str) -> tuple[str, set[str]]:
        return urlsplit(url).netloc, set(parse_qs(urlsplit(url).query))

    assert shape(brief_url) == shape(ticket["upload_url"])
    refused = wait_for(lambda: _refusal(brief_url), 10, "S3 refuses the URL")
    assert "SignatureDoesNotMatch" not in refused
    assert "expired" in refused.lower()


def _refusal(url: str) -> str:
    answer = put(url, BODY, "video/mp4")
    return "" if answer.status_code == 200 else answer.text


def test_an_upload_that_never_came_is_not_found_when_it_is_asked_for(ticket: Document, service: Service) -> None:
    answer = service.call("POST", "/request-process", {"video_url": ticket["video_url"]})
    assert answer.status_code == 404
