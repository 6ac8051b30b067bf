"""Any text and any JSON, everywhere: no 5xx, keys of the promised shape, and ids by their pattern alone.

API_EXAMPLES sets how many examples are tried of each; a soak takes many.
"""

import json
import os
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crds.transcriptionjob import NAME_PATTERN
from tests.support.api_fakes import KEY, VIDEO_URL, Caller, FakeStore, a_result, a_row

BASE = "/api/upload-video"
POSTS = ("generate-url", "request-process", "process-video", "result")
UPLOAD = re.compile(r"videos/anonymous/20250911_034548_[0-9a-f]{8}_(?P<name>[^/\\\x00-\x20\x7f]{1,200})")
many = settings(
    max_examples=int(os.environ.get("API_EXAMPLES", "5")) * 30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
ids = st.one_of(texts, st.from_regex(NAME_PATTERN, fullmatch=True), st.from_regex(f"{NAME_PATTERN}\\s?"))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
begun_urls = st.builds("{}{}".format, st.sampled_from(["https://", "s3://media/", "s3://", VIDEO_URL]), texts)
paths = st.sampled_from(["/status/{}", "/jobs/{}/events", "/result/{}", "/transcripts/{}.txt", "/transcripts/a.{}"])
headers = st.sampled_from(
    ["authorization", "idempotency-key", "last-event-id", "range", "if-none-match", "accept", "host"]
)
octets = st.binary(max_size=60).filter(lambda text: not re.search(rb"[\x00\r\n]", text))
FIELDS = (
    "job_id", "video_url", "filename", "content_type", "filetype", "model", "language", "task", "word_timestamps",
    "formats", "initial_prompt", "callback_url", "metadata", "priority", "result", "error", "status",
)  # fmt: skip
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(a_row("a", status={"state": "Succeeded", "result": a_result()}))


@many
@given(texts)
@example("\ud83d")
@example("a/\u2028b\u0085.mp4")
def test_a_key_has_its_shape_whatever_the_file_is_called(client: Caller, name: str) -> None:
    sent = json.dumps({"filename": name, "content_type": "video/mp4"})
    answer = client.post(f"{BASE}/generate-url", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 422)
    if answer.is_success:
        ticket = answer.json()
        assert UPLOAD.fullmatch(ticket["fileKey"]), ticket
        assert len(ticket["fileKey"].encode()) <= 1024
        assert ".." not in ticket["fileKey"]
        assert quote(ticket["fileKey"]) in ticket["video_url"]


@many
@given(ids)
@example("a\n")
@example("a" * 52)
@example("a" * 53)
def test_an_id_is_taken_by_its_pattern_alone(client: Caller, job_id: str) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": job_id, "video_url": VIDEO_URL})
    assert answer.status_code == (202 if re.fullmatch(NAME_PATTERN, job_id) else 422)
    if answer.is_success:
        assert answer.headers["location"] == f"{BASE}/status/{job_id}"
        assert client.get(answer.headers["location"]).json()["job_id"] == job_id


@many
@given(texts, paths)
def test_a_path_names_a_job_or_nothing(client: Caller, text: str, path: str) -> None:
    target = BASE + path.format(quote(text, safe=""))
    answer = client.get(target, follow_redirects=False)
    assert answer.status_code in (200, 404, 409, 410, 422)
    assert answer.is_error or re.fullmatch(NAME_PATTERN, text)


@many
@given(st.one_of(texts, begun_urls))
@example(f"s3://media/{KEY}")
def test_a_video_url_names_an_upload_or_nothing(client: Caller, store: FakeStore, url: str) -> None:
    known = set(store.specs)
    answer = client.post(f"{BASE}/request-process", json={"video_url": url})
    assert answer.status_code in (202, 404, 422)
    for name in set(store.specs) - known:
        source = store.specs[name].source
        assert (source.bucket, source.key) == ("media", KEY)


@many
@given(st.dictionaries(texts, texts, max_size=3))
def test_metadata_comes_back_as_it_was_sent_or_is_refused(
    client: Caller, store: FakeStore, metadata: dict[str, str]
) -> None:
    known = set(store.specs)
    answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL, "metadata": metadata})
    assert answer.status_code in (202, 422)
    for name in set(store.specs) - known:
        assert store.specs[name].metadata == metadata


@many
@given(bodies, st.sampled_from(POSTS))
def test_any_json_object_gets_an_answer(client: Caller, body: dict[str, Any], path: str) -> None:
    answer = client.post(f"{BASE}/{path}", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 202, 400, 404, 409, 422)


@many
@given(st.binary(max_size=200), st.sampled_from(POSTS))
def test_any_bytes_get_an_answer(client: Caller, body: bytes, path: str) -> None:
    answer = client.post(f"{BASE}/{path}", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


@many
@given(
    st.dictionaries(
        st.sampled_from(["status", "model", "created_after", "created_before", "limit", "next_token", "wait"]), texts
    )
)
def test_any_query_gets_an_answer(client: Caller, query: dict[str, str]) -> None:
    for path in ("/jobs", "/status/a", "/jobs/a/events", "/result/a"):
        assert client.get(BASE + path, params=query).status_code in (200, 410, 422)


@many
@given(headers, octets)
def test_any_header_gets_an_answer(client: Caller, name: str, text: bytes) -> None:
    sent = [(name.encode(), text)]
    for path in ("/jobs", "/status/a", "/jobs/a/events", "/result/a"):
        assert client.get(BASE + path, headers=sent).status_code in (200, 204, 206, 304, 410, 416, 422)
    body = json.dumps({"video_url": VIDEO_URL})
    sent.append((b"content-type", b"application/json"))
    assert client.post(f"{BASE}/request-process", content=body, headers=sent).status_code in (202, 409, 422)
