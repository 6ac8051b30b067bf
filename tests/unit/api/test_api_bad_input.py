"""Bad input gets its 4xx, as a problem that never repeats what was sent. The numbers are those of the input corpus."""

import json
from typing import Any

import pytest

from tests.support.api_fakes import VIDEO_URL, Caller, FakeStore, a_row

BASE = "/api/upload-video"
POSTS = ("generate-url", "request-process", "process-video", "result")
JSON = {"content-type": "application/json"}


def process(client: Caller, **fields: Any) -> int:
    asked = {"job_id": "a", "video_url": VIDEO_URL} | fields
    return client.post(f"{BASE}/process-video", json=asked).status_code


@pytest.mark.parametrize(
    "field", ["is_admin", "status", "owner", "tenant", "size", "bucket", "<script>alert(1)</script>"]
)
def test_cases_26_69_76_a_field_that_is_unknown(client: Caller, store: FakeStore, field: str) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL, field: "evil"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert "evil" not in answer.text
    assert "script" not in answer.text
    named = {"filename": "a.mp4", "content_type": "video/mp4", field: 1}
    assert client.post(f"{BASE}/generate-url", json=named).status_code == 422
    assert store.specs == {}


@pytest.mark.parametrize("value", [[], {}, True, 1.5, 1, None])
def test_case_27_wrong_types(client: Caller, value: Any) -> None:
    assert process(client, job_id=value) == 422
    assert process(client, video_url=value) == 422
    assert client.post(f"{BASE}/generate-url", json={"filename": value, "content_type": "video/mp4"}).status_code == 422


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_case_30_other_methods(client: Caller, method: str) -> None:
    for path in (f"{BASE}/generate-url", f"{BASE}/status/a", f"{BASE}/jobs", "/health"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"]
        assert answer.json()["code"] == "method_not_allowed"


def test_case_31_a_client_that_wants_xml_gets_json(client: Caller) -> None:
    assert (
        client.get(f"{BASE}/jobs", headers={"accept": "application/xml"}).headers["content-type"] == "application/json"
    )


def test_case_32_forged_hosts_reach_no_url(client: Caller) -> None:
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    asked = {"job_id": "a", "video_url": VIDEO_URL}
    answer = client.post(f"{BASE}/process-video", json=asked, headers=headers)
    assert "evil" not in answer.text + answer.headers["location"]


@pytest.mark.parametrize("name", ["a%00", "%FF%FE", "..%2f..%2fsecret", "a/", "a;a=b", "a/b", "%0a"])
def test_cases_35_to_38_paths_that_name_no_job(client: Caller, store: FakeStore, name: str) -> None:
    store.rows.see(a_row("a"))
    answer = client.get(f"{BASE}/status/{name}", follow_redirects=False)
    assert answer.status_code == 404
    assert client.get(f"/{BASE}/status/a", follow_redirects=False).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={limit}" for limit in ("-1", "0", "101", "1e9", "a", "")),
        *(f"next_token={token}" for token in ("%00", "e30", "")),
        *("status=Running", "created_after=yesterday", "model=../x", "unknown=1"),
    ],
)
def test_case_43_a_query_that_makes_no_sense_is_refused(client: Caller, query: str) -> None:
    answer = client.get(f"{BASE}/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_case_48_and_49_the_same_request_many_times_is_one_job(client: Caller, store: FakeStore) -> None:
    assert {process(client) for _ in range(20)} == {202}
    assert len(store.specs) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "turbo", "task": "translate"},
        {"model": "large-v3-turbo", "task": "translate"},
        {"model": "../../etc/passwd"},
        {"language": "english"},
        {"language": "ko\n"},
        {"task": "summarise"},
        {"word_timestamps": "yes"},
        {"engine": "fast"},
        {"language_options": []},
        {"language_options": ["auto"]},
        {"language_options": ["klingon"]},
        {"formats": []},
        {"formats": ["pdf"]},
        {"initial_prompt": "x" * 897},
        {"initial_prompt": "a\x00b"},
        {"metadata": {"a": 1}},
        {"metadata": {"a": "x" * 129}},
        {"metadata": {"a b": "x"}},
        {"metadata": {str(n): "x" for n in range(11)}},
        {"callback_url": "https://user:pass@example.com/"},
        {"callback_url": "https://example.com:99999/"},
        {"callback_url": "https:///x"},
        {"callback_url": "https://example.com/" + "x" * 1024},
        {"callback_url": "https://example.com/a b"},
        {"callback_url": "https://example.com\\@evil.example/"},
    ],
)
def test_options_that_make_no_sense_are_refused(client: Caller, store: FakeStore, fields: dict[str, Any]) -> None:
    assert process(client, **fields) == 422
    assert store.specs == {}


def test_a_refusal_names_the_field_and_not_its_value(client: Caller) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": "SECRET VALUE", "video_url": VIDEO_URL})
    assert answer.json()["errors"][0]["field"] == "job_id"
    assert "SECRET" not in json.dumps(answer.json())


@pytest.mark.parametrize("headers", [{"x": "a" * 100_000}, {f"x-{n}": "a" for n in range(2000)}])
def test_case_24_outsized_headers(client: Caller, headers: dict[str, str]) -> None:
    assert client.get(f"{BASE}/jobs", headers=headers).status_code == 431


def test_case_39_a_query_of_thousands_of_keys(client: Caller) -> None:
    assert client.get(f"{BASE}/jobs?" + "&".join(f"a{n}=1" for n in range(8_000))).status_code == 414
