"""Bodies that are no JSON, or not the JSON that was asked for. The numbers are those of the input corpus."""

import pytest

from tests.support.api_fakes import Caller, FakeStore, FakeUploads, a_result, a_row

BASE = "/api/upload-video"
POSTS = ("generate-url", "request-process", "process-video", "result")
JSON = {"content-type": "application/json"}


def statuses(client: Caller, body: bytes, headers: dict[str, str] = JSON) -> set[int]:
    """The answers of every POST to a body; each is a problem with its members."""
    answers = [client.post(f"{BASE}/{path}", content=body, headers=headers) for path in POSTS]
    for answer in answers:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == answer.status_code
        assert problem["code"]
        assert problem["detail"]
    return {answer.status_code for answer in answers}


def test_case_1_empty_body(client: Caller) -> None:
    assert statuses(client, b"") == {422}


def test_case_2_open_brace(client: Caller) -> None:
    assert statuses(client, b"{") == {400}


@pytest.mark.parametrize("body", [b'"text"', b"1", b"[]", b"null", b"true"])
def test_case_3_no_object_at_the_top(client: Caller, body: bytes) -> None:
    assert statuses(client, body) == {422}


def test_case_4_very_many_nested_arrays(client: Caller) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    answers = {path: client.post(f"{BASE}/{path}", content=body, headers=JSON).status_code for path in POSTS}
    assert answers == {"generate-url": 413, "request-process": 413, "process-video": 413, "result": 400}


@pytest.mark.parametrize("depth", [40, 300])
def test_case_5_a_result_nested_too_deeply(client: Caller, store: FakeStore, depth: int) -> None:
    store.rows.see(a_row("a"))
    body = b'{"job_id":"a","result":' + b'{"x":' * depth + b"1" + b"}" * depth + b"}"
    assert client.post(f"{BASE}/result", content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"])
def test_cases_6_7_8_numbers_that_are_none(client: Caller, number: bytes) -> None:
    assert statuses(client, b'{"job_id":' + number + b"}") == {422}
    assert statuses(client, b'{"video_url":[' + number + b"]}") == {422}


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e400"])
def test_case_9_such_a_number_inside_a_result(
    client: Caller, store: FakeStore, uploads: FakeUploads, number: bytes
) -> None:
    store.rows.see(a_row("a"))
    body = b'{"job_id":"a","result":{"segments":[{"start":' + number + b"}]}}"
    assert client.post(f"{BASE}/result", content=body, headers=JSON).status_code == 422
    assert len(uploads.objects) == 1


@pytest.mark.parametrize("half", [rb"\ud800", rb"\udfff", rb"\uD83D \uDE00"])
def test_cases_10_11_half_a_surrogate_pair(client: Caller, store: FakeStore, half: bytes) -> None:
    store.rows.see(a_row("a"))
    assert statuses(client, b'{"job_id":"' + half + b'"}') == {422}
    assert statuses(client, b'{"' + half + b'":1}') == {422}
    named = b'{"filename":"' + half + b'.mp4","content_type":"video/mp4"}'
    assert client.post(f"{BASE}/generate-url", content=named, headers=JSON).status_code == 422
    told = b'{"job_id":"a","result":{"text":"' + half + b'"}}'
    assert client.post(f"{BASE}/result", content=told, headers=JSON).status_code == 422


def test_a_whole_surrogate_pair_is_a_letter_as_any(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status={"state": "Running", "result": a_result()}))
    body = rb'{"job_id":"a","result":{"text":"\ud83d\ude00"}}'
    assert client.post(f"{BASE}/result", content=body, headers=JSON).status_code == 200


def test_case_12_an_integer_of_5000_digits(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a"))
    assert statuses(client, b'{"job_id":' + b"9" * 5000 + b"}") == {422}
    body = b'{"job_id":"a","result":{"id":' + b"9" * 5000 + b"}}"
    assert client.post(f"{BASE}/result", content=body, headers=JSON).status_code == 422


def test_case_13_bytes_that_are_no_utf8(client: Caller) -> None:
    assert statuses(client, b'{"job_id":"\xff\xfe"}') == {400}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_case_14_json_in_wider_characters(client: Caller, encoding: str) -> None:
    assert statuses(client, '{"job_id":"a"}'.encode(encoding)) == {415}
    assert statuses(client, b"{}", {"content-type": f"application/json; charset={encoding}"}) == {415}


def test_case_15_a_byte_order_mark(client: Caller) -> None:
    assert statuses(client, b'\xef\xbb\xbf{"job_id":"a"}') == {400}


def test_case_16_a_name_twice(client: Caller) -> None:
    assert statuses(client, b'{"job_id":"a","job_id":"b"}') == {400}
    assert statuses(client, b'{"result":{"x":{"a":1,"a":1}}}') == {400}


def test_case_17_a_body_over_the_cap(client: Caller) -> None:
    assert client.post(f"{BASE}/process-video", content=b" " * (1024 * 1024 + 1), headers=JSON).status_code == 413
    answer = client.post(f"{BASE}/process-video", json={"video_url": "x" * 1024 * 1024})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("path", POSTS)
def test_case_18_a_length_that_is_announced_and_too_large(client: Caller, path: str) -> None:
    headers = JSON | {"content-length": "10000000000"}
    assert client.post(f"{BASE}/{path}", content=b"{}", headers=headers).status_code == 413


def test_case_21_a_packed_body(client: Caller) -> None:
    assert statuses(client, b"{}", JSON | {"content-encoding": "gzip"}) == {415}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""]
)
def test_cases_22_23_another_content_type(client: Caller, kind: str) -> None:
    assert statuses(client, b'{"job_id":"a"}', {"content-type": kind}) == {415}


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset*" + "9" * 5000 + "*=utf-8''a",
        "application/json; charset*=\x00''utf-8",
        "application/json; " + "x=y; " * 100,
    ],
)
def test_a_content_type_that_nobody_writes(client: Caller, kind: str) -> None:
    assert statuses(client, b'{"job_id":"a"}', {"content-type": kind}) == {415}


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
def test_json_by_its_usual_names_is_read(client: Caller, kind: str) -> None:
    assert statuses(client, b'{"job_id":1}', {"content-type": kind}) == {422}


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1"])
def test_a_body_of_very_many_small_values_is_refused(client: Caller, value: bytes) -> None:
    body = b'{"metadata":[' + b",".join([value] * 20_000) + b"]}"
    for path in POSTS[:3]:
        assert client.post(f"{BASE}/{path}", content=body, headers=JSON).status_code == 413
