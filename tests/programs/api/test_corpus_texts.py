"""Every JSON file and every text that others have collected: cases 28 and 29 of the input corpus."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from crds.transcriptionjob import NAME_PATTERN
from tests.support.api_fakes import VIDEO_URL, Caller, FakeStore, FakeUploads, a_result, a_row
from tests.support.corpus import read_json_suite, read_naughty_strings

BASE = "/api/upload-video"
POSTS = ("process-video", "result")
JSON = {"content-type": "application/json"}
FILES = read_json_suite()
TEXTS = read_naughty_strings()
ENDED: dict[str, Any] = {"state": "Succeeded", "result": a_result()}


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(a_row("ended", status=ENDED))


@pytest.mark.parametrize("name", [pytest.param(name, id=f"case_28_{name}") for name in FILES])
def test_case_28_a_file_of_the_json_suite_as_the_body(client: Caller, store: FakeStore, name: str) -> None:
    for path in POSTS:
        answer = client.post(f"{BASE}/{path}", content=FILES[name], headers=JSON)
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        if name.startswith("y_") and "duplicated" not in name:
            assert answer.status_code == 422, "it is JSON, and no object that is asked for"
    assert store.specs == {}


@pytest.mark.parametrize("name", [pytest.param(name, id=f"case_28_{name}") for name in FILES])
def test_case_28_a_file_of_the_json_suite_inside_a_result(client: Caller, uploads: FakeUploads, name: str) -> None:
    body = b'{"job_id":"ended","result":{"x":%s}}' % FILES[name]
    before = set(uploads.objects)
    answer = client.post(f"{BASE}/result", content=body, headers=JSON)
    kept = [uploads.objects[key] for key in set(uploads.objects) - before]
    assert answer.status_code < 500
    assert len(kept) == int(answer.is_success)
    if name.startswith("n_"):
        assert 400 <= answer.status_code < 500
    if name.startswith("y_") and "duplicated" not in name:
        assert answer.status_code == 200, answer.text
        assert json.loads(kept[0])["result"] == json.loads(body)["result"]


def process(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "process-video", {"job_id": "naughty", "video_url": VIDEO_URL} | fields


FIELDS: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "media_type": lambda text: ("generate-url", {"filename": "a.mp4", "content_type": text, "filetype": text}),
    "video_url": lambda text: ("request-process", {"video_url": text}),
    "parts_of_a_video_url": lambda text: ("request-process", {"video_url": f"{VIDEO_URL}{text}?{text}"}),
    "job_id": lambda text: process(job_id=text),
    "options": lambda text: process(
        model=text,
        language=text,
        task=text,
        formats=[text],
        priority=text,
        callback_url=text,
        metadata={text: text},
        **{text: text},
    ),
    "kept_texts": lambda text: process(
        initial_prompt=text, metadata={"x": text}, callback_url=f"https://example.com/{quote(text)}"
    ),
    "job_id_of_a_result": lambda text: ("result", {"job_id": text, "result": {}}),
    "result": lambda text: ("result", {"job_id": "ended", "result": {"text": text, text: text}}),
}
TAKEN = {"job_id": NAME_PATTERN, "options": "", "media_type": "", "video_url": "", "job_id_of_a_result": "ended"}
"""What may be taken at most; anything else gets a 4xx."""


@pytest.mark.parametrize("field", [pytest.param(field, id=f"case_29_{field}") for field in FIELDS])
def test_case_29_every_naughty_string_in_a_field(client: Caller, store: FakeStore, field: str) -> None:
    allowed = re.compile(TAKEN.get(field, r"[\s\S]*"))
    for text in TEXTS:
        path, body = FIELDS[field](text)
        answer = client.post(f"{BASE}/{path}", json=body)
        assert answer.status_code < 500, (text, answer.text)
        assert answer.is_client_error or allowed.fullmatch(text), text
        if answer.is_client_error:
            assert answer.headers["content-type"] == "application/problem+json"
            assert len(text) < 20 or text not in answer.json()["detail"]
    assert set(store.specs) <= {"naughty", *filter(allowed.fullmatch, TEXTS)} or path == "request-process"


def test_case_29_every_naughty_string_as_a_file_name(client: Caller, uploads: FakeUploads) -> None:
    for text in TEXTS:
        answer = client.post(f"{BASE}/generate-url", json={"filename": text, "content_type": "video/mp4"})
        assert answer.status_code in (200, 422), (text, answer.text)
    assert len(uploads.signed) > 400
    for key, _ in uploads.signed:
        assert re.fullmatch(r"videos/anonymous/\d{8}_\d{6}_[0-9a-f]{8}_[^/\\\x00-\x1f\s]+", key)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{BASE}/status/{{}}", id="case_29_path_of_a_status"),
        pytest.param(f"{BASE}/transcripts/naughty.{{}}", id="case_29_path_of_a_format"),
        pytest.param(f"{BASE}/status/naughty?wait={{}}", id="case_29_wait"),
        pytest.param(f"{BASE}/jobs?next_token={{}}", id="case_29_next_token"),
        pytest.param(
            f"{BASE}/jobs?status={{0}}&model={{0}}&created_after={{0}}&created_before={{0}}&limit={{0}}",
            id="case_29_filters",
        ),
    ],
)
def test_case_29_every_naughty_string_in_a_path_or_query(client: Caller, path: str) -> None:
    for text in TEXTS:
        answer = client.get(path.format(quote(text, safe="")), follow_redirects=False)
        assert answer.status_code < 500 and answer.status_code // 100 != 3, (text, answer.text)
        assert "?" in path or not text.strip() or answer.is_client_error, (text, answer.text)


def test_case_29_every_naughty_string_in_headers(client: Caller) -> None:
    names = (b"idempotency-key", b"authorization", b"last-event-id", b"x-api-key", b"range", b"accept")
    for text in TEXTS:
        headers = [(b"content-type", b"application/json"), *((name, text.encode()) for name in names)]
        answer = client.post(f"{BASE}/request-process", headers=headers, content=json.dumps({"video_url": VIDEO_URL}))
        assert answer.status_code in (202, 409, 422), (text, answer.text)


def test_case_29_a_naughty_transcript_comes_back_as_it_is(client: Caller, uploads: FakeUploads) -> None:
    uploads.objects[ENDED["result"]["key"]] = json.dumps({"text": TEXTS}).encode()
    answer = client.get(f"{BASE}/result/ended")
    assert answer.json() == {"text": TEXTS}
    assert answer.headers["content-type"] == "application/json"
