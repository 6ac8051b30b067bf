"""Bad input gets its 4xx, as a problem that never repeats what was sent. The numbers are those of the input corpus."""

import json
from typing import Any

import pytest

from api.errors import JOB_NOT_FOUND_MESSAGE
from tests.support.api_fakes import VIDEO_URL, Caller, FakeStore, FakeUploads, a_row

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
    assert store.list() == []


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


def test_case_43_reading_the_list_never_fails(client: Caller) -> None:
    for query in ("limit=-1", "limit=a", "next_token=%00"):
        assert client.get(f"{BASE}/jobs?{query}").status_code == 200


def test_case_48_and_49_the_same_request_many_times_is_one_job(client: Caller, store: FakeStore) -> None:
    assert {process(client) for _ in range(20)} == {202}
    assert len(store.list()) == 1


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "video/" + "x" * 10_000, "video/mp4\r\nX: y", "*/*", "video/*", "video/", ""]
)
def test_case_68_media_types_that_are_none(client: Caller, kind: str) -> None:
    for field in ("content_type", "filetype"):
        assert client.post(f"{BASE}/generate-url", json={"filename": "a.mp4", field: kind}).status_code == 422


def test_case_68_a_missing_or_contradicting_type(client: Caller) -> None:
    for none in ({}, {"content_type": "", "filetype": ""}, {"content_type": ""}, {"filetype": None}):
        assert client.post(f"{BASE}/generate-url", json={"filename": "a.mp4", **none}).status_code == 422
    both = {"filename": "a.mp4", "content_type": "video/mp4", "filetype": "audio/mp3"}
    assert client.post(f"{BASE}/generate-url", json=both).status_code == 422


@pytest.mark.parametrize(("absent", "given"), [("content_type", "filetype"), ("filetype", "content_type")])
def test_an_empty_type_is_as_none(client: Caller, uploads: FakeUploads, absent: str, given: str) -> None:
    asked = {"filename": "a.mp4", absent: "", given: "video/mp4"}
    assert client.post(f"{BASE}/generate-url", json=asked).status_code == 200
    assert uploads.signed[0][1] == "video/mp4"


@pytest.mark.parametrize(
    "kind", ["video/mp4", "audio/mpeg", "video/x-matroska", "video/webm;codecs=vp8,opus", "Video/MP4"]
)
def test_any_video_or_audio_type_is_fine(client: Caller, kind: str) -> None:
    assert client.post(f"{BASE}/generate-url", json={"filename": "a.txt", "content_type": kind}).status_code == 200


@pytest.mark.parametrize(
    "name", ["a\r\nX-Evil: 1.mp4", "a\x00.mp4", "", "   ", ".", "..", "/", "é" * 513, "x" * 900_000]
)
def test_cases_54_to_57_file_names_that_cannot_be_used(client: Caller, name: str) -> None:
    answer = client.post(f"{BASE}/generate-url", json={"filename": name, "content_type": "video/mp4"})
    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_filename", "validation_failed")


IMPOSSIBLE_IDS = {
    77: ["A", "Job_1", "a.b/..", " a", "a "],
    78: ["a\n"],
    79: ["a" * 1000, "a" * 64, "a" * 53],
    80: ["", "-a", "a-", "--"],
    81: ["a,b=c", "a in (b)", "!a"],
    82: ["a?x=1", "a%2fstatus", "a#"],
    83: ["../../namespaces/kube-system/secrets/x"],
    84: ["\u0661\u0662", "\u0430bc", "\uff11\uff12", "\uff41"],
    85: [
        "8E3C1F0A-52C4-4B3E-9A57-0D6F2B9C7E11",
        "{8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11}",
        "urn:uuid:8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11",
    ],
    89: ["{{7*7}}", "%s", "${jndi:ldap://x}"],
    90: ["a' OR '1'='1", "$.items[*]", "self.name == 'a'"],
}


@pytest.mark.parametrize("case", IMPOSSIBLE_IDS)
def test_cases_77_to_90_an_impossible_id_is_refused(client: Caller, store: FakeStore, case: int) -> None:
    for job_id in IMPOSSIBLE_IDS[case]:
        answer = client.post(f"{BASE}/process-video", json={"job_id": job_id, "video_url": VIDEO_URL})
        assert answer.status_code == 422
        assert len(job_id) < 4 or job_id not in answer.text
        told = client.post(f"{BASE}/result", json={"job_id": job_id, "result": {}})
        assert (told.status_code, told.json()["message"]) == (404, JOB_NOT_FOUND_MESSAGE)
    assert store.list() == []


def test_case_82_and_83_an_impossible_id_in_a_path_is_not_found(client: Caller) -> None:
    for job_id in ("a%3fx=1", "a%2fstatus", "a%23", "..%2f..%2fnamespaces%2fkube-system%2fsecrets%2fx", "A"):
        assert client.get(f"{BASE}/status/{job_id}").status_code == 404
        assert client.post(f"{BASE}/jobs/{job_id}/cancel").status_code == 404


def test_case_87_a_prefix_of_an_id_names_nothing(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a-b"))
    assert client.get(f"{BASE}/status/a").status_code == 404
    assert client.get(f"{BASE}/status/a-b").status_code == 200


@pytest.mark.parametrize(
    "job_id", ["1", "0", "true", "null", "1e3", "0x10", "123456", "8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11"]
)
def test_case_88_ids_that_look_like_something_else_stay_text(client: Caller, job_id: str) -> None:
    assert process(client, job_id=job_id) == 202
    assert client.get(f"{BASE}/status/{job_id}").json()["job_id"] == job_id


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "dict", "ldap", "data", "jar", "javascript"])
def test_case_107_other_schemes(client: Caller, scheme: str) -> None:
    for url in (f"{scheme}:///etc/passwd", f"{scheme}://media/videos/a.mp4", f"{scheme}:x"):
        answer = client.post(f"{BASE}/request-process", json={"video_url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_video_url")
        assert process(client, callback_url=url) == 422


@pytest.mark.parametrize(
    "url",
    [
        "https://other.s3.amazonaws.com/videos/a.mp4",
        "https://s3.us-east-1.amazonaws.com/other/videos/a.mp4",
        "https://my.dotted.bucket.s3.amazonaws.com/videos/a.mp4",
        "s3://other/videos/a.mp4",
        "http://s3.internal:9000/other/videos/a.mp4",
        "https://media.s3.amazonaws.com.evil.example/videos/a.mp4",
        "https://media.s3.amazonaws.com/transcripts/a.json",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/videos/a.mp4",
    ],
)
def test_case_113_other_buckets_and_hosts_are_not_found(client: Caller, url: str) -> None:
    answer = client.post(f"{BASE}/request-process", json={"video_url": url})
    assert (answer.status_code, answer.json()["code"]) == (404, "object_not_found")
    assert "message" in answer.json()


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
    assert store.list() == []


def test_a_refusal_names_the_field_and_not_its_value(client: Caller) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": "SECRET VALUE", "video_url": VIDEO_URL})
    assert answer.json()["errors"][0]["field"] == "job_id"
    assert "SECRET" not in json.dumps(answer.json())


@pytest.mark.parametrize("headers", [{"x": "a" * 100_000}, {f"x-{n}": "a" for n in range(2000)}])
def test_case_24_outsized_headers(client: Caller, headers: dict[str, str]) -> None:
    assert client.get(f"{BASE}/jobs", headers=headers).status_code == 431


def test_case_39_a_query_of_thousands_of_keys(client: Caller) -> None:
    assert client.get(f"{BASE}/jobs?" + "&".join(f"a{n}=1" for n in range(8_000))).status_code == 414
