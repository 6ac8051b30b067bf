"""A presigned URL lets one file of one type in, for a time. The S3 server verifies signatures as S3 does."""

import asyncio
import hashlib
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest

from api.settings import ApiSettings
from api.uploads import S3Uploads
from tests.support.bucket import Bucket
from tests.support.kubectl import Kubectl
from tests.support.service import Document, Service, put
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for

BODY = b"not much of a video"
PRINT_ENVIRONMENT = "import os; print(*map('='.join, os.environ.items()), sep='\\n')"
"""The image has no program but Python."""


@pytest.fixture
def ticket(service: Service) -> Document:
    return service.generate_url("sample.mp4", "video/mp4")


def test_s3_takes_the_file_when_all_is_as_signed(ticket: Document, bucket: Bucket) -> None:
    assert put(ticket["upload_url"], BODY, "video/mp4").status_code == 200
    assert bucket.read(ticket["fileKey"]) == BODY


def test_case_71_s3_refuses_the_file_when_its_type_is_another(ticket: Document, bucket: Bucket) -> None:
    answer = put(ticket["upload_url"], BODY, "text/html")
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text
    assert bucket.list(ticket["fileKey"]) == []


def test_case_72_s3_refuses_the_file_when_the_key_is_another(ticket: Document, bucket: Bucket) -> None:
    other = ticket["fileKey"].replace("sample", "other")
    answer = put(ticket["upload_url"].replace("sample", "other"), BODY, "video/mp4")
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text
    assert bucket.list(other) == []


def test_s3_refuses_the_file_when_its_signature_is_forged(ticket: Document, bucket: Bucket) -> None:
    url, _, signature = ticket["upload_url"].rpartition("X-Amz-Signature=")
    assert put(f"{url}X-Amz-Signature={signature[::-1]}", BODY, "video/mp4").status_code == 403
    assert bucket.list(ticket["fileKey"]) == []


def test_case_75_s3_refuses_the_file_when_the_time_is_stretched(ticket: Document) -> None:
    stretched = ticket["upload_url"].replace("X-Amz-Expires=900", "X-Amz-Expires=604800")
    assert stretched != ticket["upload_url"]
    assert put(stretched, BODY, "video/mp4").status_code == 403


@pytest.fixture
def brief_url(kubectl: Kubectl, service: Service, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL as the running API signs them, but that its time is one second: its own code, settings and account."""
    env = kubectl.run("exec", "deployment/transcription-api", "--", "python3", "-c", PRINT_ENVIRONMENT).splitlines()
    for name, _, value in (line.partition("=") for line in env):
        if name.startswith(("API_", "AWS_")):
            monkeypatch.setenv(name, value)
    uploads = S3Uploads(ApiSettings(upload_expiry_seconds=1))
    key = service.generate_url("late.mp4", "video/mp4")["fileKey"]
    try:
        return asyncio.run(uploads.presign_put(key, "video/mp4"))
    finally:
        asyncio.run(uploads.stop())


def test_case_72_s3_refuses_the_file_when_the_time_is_over(brief_url: str, ticket: Document) -> None:
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


def test_case_70_the_size_is_judged_when_the_file_is_asked_for(ticket: Document, service: Service) -> None:
    """The signature says nothing of the size, because the front end does not tell it."""
    assert put(ticket["upload_url"], b"", "video/mp4").status_code == 200
    answer = service.call("POST", "/request-process", {"video_url": ticket["video_url"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "object_size")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_case_72_s3_refuses_another_method(method: str, ticket: Document, bucket: Bucket) -> None:
    assert put(ticket["upload_url"], BODY, "video/mp4").status_code == 200
    assert httpx.request(method, ticket["upload_url"]).status_code == 403
    assert bucket.read(ticket["fileKey"]) == BODY


def test_case_72_s3_refuses_another_bucket(ticket: Document, bucket: Bucket) -> None:
    other = ticket["upload_url"].replace(f"/{bucket.name}/", "/other/")
    assert other != ticket["upload_url"]
    assert put(other, BODY, "video/mp4").status_code == 403


@pytest.mark.parametrize("added", ["acl", "x-id=PutObject", "tagging"])
def test_case_72_s3_refuses_an_added_query(added: str, ticket: Document, bucket: Bucket) -> None:
    assert put(f"{ticket['upload_url']}&{added}", BODY, "video/mp4").status_code == 403
    assert bucket.list(ticket["fileKey"]) == []


def test_case_73_a_second_file_is_not_the_one_that_was_asked_for(
    ticket: Document, service: Service, bucket: Bucket, kubectl: Kubectl
) -> None:
    """S3 takes it, because the front end sends no If-None-Match; but the request has pinned the first."""
    job_id = an_id("twice")
    assert put(ticket["upload_url"], BODY, "video/mp4").status_code == 200
    service.process_video(job_id, ticket["video_url"])
    assert put(ticket["upload_url"], BODY * 2, "video/mp4").status_code == 200
    assert bucket.read(ticket["fileKey"]) == BODY * 2
    service.process_video(job_id, ticket["video_url"])
    manifest = kubectl.get("transcriptionjob", job_id)
    assert manifest is not None
    assert manifest["spec"]["source"]["etag"].strip('"') == hashlib.md5(BODY).hexdigest()


def test_case_73_a_client_that_wants_it_is_refused_a_second_file(ticket: Document, bucket: Bucket) -> None:
    headers = {"Content-Type": "video/mp4", "If-None-Match": "*"}
    assert httpx.put(ticket["upload_url"], content=BODY, headers=headers).status_code == 200
    assert httpx.put(ticket["upload_url"], content=BODY * 2, headers=headers).status_code == 412
    assert bucket.read(ticket["fileKey"]) == BODY


def test_case_74_browsers_are_let_in_by_the_rule_of_the_bucket(ticket: Document) -> None:
    def ask(method: str) -> httpx.Response:
        headers = {"Origin": "https://app.example.org", "Access-Control-Request-Method": method}
        return httpx.options(ticket["upload_url"], headers=headers)

    allowed = ask("PUT")
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "*")
    assert ask("DELETE").status_code == 403


def test_case_75_the_time_is_the_installations(ticket: Document, service: Service) -> None:
    assert parse_qs(urlsplit(ticket["upload_url"]).query)["X-Amz-Expires"] == ["900"]
    asked = {"filename": "a.mp4", "content_type": "video/mp4", "expires_in": 691200}
    assert service.call("POST", "/generate-url", asked).status_code == 422
