"""POST /result: what the worker's callback may be, and what is kept of it."""

import asyncio
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import receive
from api.app import build_app
from api.bodies import THREAD_BYTES
from api.errors import JOB_NOT_FOUND_MESSAGE
from api.receive import MAX_RESULT_NODES, render_canonical
from api.row import Row
from api.schemas import CallbackPayload
from api.strict_json import count_nodes
from crds.callback import build_completed, render_payload
from tests.support.api_fakes import KEY, Caller, FakeStore, FakeUploads, a_result, a_row, some_settings

BASE = "/api/upload-video"
COMPLETED = {"job_id": "a", "result": {"text": "hello", "segments": [], "language": "en"}}
FAILED = {"job_id": "a", "status": "failed", "error": {"code": "NoAudio", "message": "No audio.", "retryable": False}}


def ended(version: int = 1) -> Row:
    return a_row("a", version, {"state": "Running", "result": a_result()})


@pytest.mark.parametrize("payload", [COMPLETED, FAILED])
def test_a_callback_is_kept_once(client: Caller, store: FakeStore, uploads: FakeUploads, payload: Any) -> None:
    store.rows.see(ended())
    for _ in range(2):
        answer = client.post(f"{BASE}/result", json=payload)
        assert (answer.status_code, answer.json()) == (200, {"status": "received"})
    kept = json.loads(uploads.objects["callbacks/transcription/a/uid-of-a/0.json"])
    assert kept == {"status": "completed"} | payload


def test_case_129_another_callback_of_the_same_job_is_a_conflict(
    client: Caller, store: FakeStore, uploads: FakeUploads
) -> None:
    store.rows.see(ended())
    client.post(f"{BASE}/result", json=COMPLETED)
    answer = client.post(f"{BASE}/result", json=FAILED)
    assert (answer.status_code, answer.json()["code"]) == (409, "result_conflict")
    assert b"hello" in uploads.objects["callbacks/transcription/a/uid-of-a/0.json"]


def test_case_128_a_callback_of_an_unknown_job_stores_nothing(client: Caller, uploads: FakeUploads) -> None:
    answer = client.post(f"{BASE}/result", json=COMPLETED)
    assert answer.json()["message"] == JOB_NOT_FOUND_MESSAGE
    assert list(uploads.objects) == [KEY]


@pytest.mark.parametrize(
    "payload",
    [
        {"job_id": "a"},
        {"job_id": "a", "result": {}, "error": {}},
        {"job_id": "a", "result": None},
        {"job_id": "a", "result": "text"},
        {"job_id": "a", "result": []},
        {"job_id": "a", "status": "failed", "result": {}},
        {"job_id": "a", "status": "completed", "error": {}},
        {"job_id": "a", "status": "processing", "result": {}},
        {"job_id": "a", "result": {}, "owner": "me"},
        [],
    ],
)
def test_case_131_a_callback_that_makes_no_sense_is_refused(client: Caller, store: FakeStore, payload: Any) -> None:
    store.rows.see(ended())
    assert client.post(f"{BASE}/result", json=payload).status_code == 422


def test_case_131_a_callback_over_the_cap_is_refused(store: FakeStore, uploads: FakeUploads) -> None:
    store.rows.see(ended())
    with TestClient(build_app(some_settings(max_result_bytes=10), store, uploads)) as client:
        assert client.post(f"{BASE}/result", json=COMPLETED).status_code == 413


@pytest.mark.parametrize("size", [65_000, 1_600_000])
def test_case_131_a_long_result_is_kept_in_s3_and_not_in_the_cluster(
    client: Caller, store: FakeStore, uploads: FakeUploads, size: int
) -> None:
    store.rows.see(ended())
    before = store.rows.get("a")
    assert client.post(f"{BASE}/result", json=COMPLETED | {"result": {"text": "x" * size}}).status_code == 200
    assert len(uploads.objects["callbacks/transcription/a/uid-of-a/0.json"]) > size
    assert store.rows.get("a") is before


def test_case_131_a_deep_result_is_refused(client: Caller, store: FakeStore, uploads: FakeUploads) -> None:
    store.rows.see(ended())
    body = b'{"job_id":"a","result":{"x":' + b"[" * 1000 + b"]" * 1000 + b"}}"
    answer = client.post(f"{BASE}/result", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert list(uploads.objects) == [KEY]


def test_case_133_text_is_kept_as_it_is(client: Caller, store: FakeStore, uploads: FakeUploads) -> None:
    store.rows.see(ended())
    text = "<script>alert(1)</script> \x1b[31m \u202e \x00 \r\n"
    assert client.post(f"{BASE}/result", json=COMPLETED | {"result": {"text": text}}).status_code == 200
    kept = uploads.objects["callbacks/transcription/a/uid-of-a/0.json"]
    assert json.loads(kept)["result"]["text"] == text
    assert not {0x00, 0x1B, 0x0D} & set(kept)


@pytest.mark.parametrize("progress", [101, -1, "50", 40, 1.5, None])
def test_case_134_progress_is_none_of_the_receivers(
    client: Caller, store: FakeStore, uploads: FakeUploads, progress: Any
) -> None:
    store.rows.see(ended())
    before = store.rows.get("a")
    for payload in (COMPLETED | {"progress": progress}, {"job_id": "a", "progress": progress}):
        assert client.post(f"{BASE}/result", json=payload).status_code == 422
    assert store.rows.get("a") is before
    assert list(uploads.objects) == [KEY]


def post_at_once(client: Caller, payloads: list[Any]) -> list[int]:
    async def post() -> list[int]:
        posts = (client._client.post(f"{BASE}/result", json=payload) for payload in payloads)
        return [answer.status_code for answer in await asyncio.gather(*posts)]

    return client._loop.run_until_complete(post())


@pytest.mark.parametrize("texts", [1, 100])
def test_case_136_and_f60_a_hundred_at_once_have_one_effect(
    client: Caller, store: FakeStore, uploads: FakeUploads, texts: int
) -> None:
    store.rows.see(ended())
    payloads = [COMPLETED | {"result": {"text": str(n % texts)}} for n in range(100)]
    statuses = sorted(post_at_once(client, payloads))
    assert statuses == ([200] * 100 if texts == 1 else [200] + [409] * 99)
    assert [key for key in uploads.objects if key != KEY] == ["callbacks/transcription/a/uid-of-a/0.json"]


@pytest.mark.parametrize("state", ["Pending", "Queued", "Starting", "Running"])
def test_case_130_a_callback_before_the_end_stores_nothing(
    client: Caller, store: FakeStore, uploads: FakeUploads, state: str
) -> None:
    store.rows.see(a_row("a", status={"state": state}))
    answer = client.post(f"{BASE}/result", json=COMPLETED)
    assert (answer.status_code, answer.json()["code"]) == (409, "result_not_ready")
    assert list(uploads.objects) == [KEY]


@pytest.mark.parametrize("state", ["Failed", "Cancelled", "Succeeded"])
def test_a_callback_of_one_that_ended_without_a_result_is_kept(client: Caller, store: FakeStore, state: str) -> None:
    store.rows.see(a_row("a", status={"state": state}))
    assert client.post(f"{BASE}/result", json=FAILED).status_code == 200


def test_a_callback_is_taken_while_the_cache_lags_behind(client: Caller, store: FakeStore) -> None:
    store.cached["a"] = a_row("a", status={"state": "Running"})
    store.rows.see(ended(version=2))
    assert client.post(f"{BASE}/result", json=COMPLETED).status_code == 200


def test_a_callback_is_refused_when_the_job_is_gone_and_the_cache_lags_behind(client: Caller, store: FakeStore) -> None:
    store.cached["a"] = ended()
    assert client.post(f"{BASE}/result", json=COMPLETED).status_code == 404


@pytest.mark.parametrize("value", [b"{}", b"[]", b'{"a":1}', b"1"])
def test_a_callback_of_very_many_small_values_is_refused_before_it_is_unfolded(client: Caller, value: bytes) -> None:
    body = b'{"job_id":"a","result":{"x":[' + b",".join([value] * MAX_RESULT_NODES) + b"]}}"
    tracemalloc.start()
    answer = client.post(f"{BASE}/result", content=body, headers={"content-type": "application/json"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert peak < 4 * len(body)


def test_a_transcript_of_hours_with_the_time_of_each_word_is_within_the_cap() -> None:
    word = {"word": " hello, you", "start": 1.23, "end": 1.5, "probability": 0.9876543283462524}
    segment = {"id": 0, "text": " hello, you", "tokens": [50364] * 40, "words": [word] * 20, "temperature": 0.0}
    payload = render_payload(build_completed("a", {"text": "", "segments": [segment], "language": "en"}))
    segments_of_four_hours = 4 * 3600 // 8
    assert count_nodes(payload) * segments_of_four_hours < MAX_RESULT_NODES
    assert len(payload) * segments_of_four_hours < some_settings().max_result_bytes


def test_one_callback_at_a_time_is_unfolded(client: Caller, store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.rows.see(ended())
    parse, parsing = receive._parse_callback, client.app.state.parts.parsing
    held: list[bool] = []

    def note(body: bytes) -> receive.Callback:
        held.append(parsing.locked())
        return parse(body)

    monkeypatch.setattr(receive, "_parse_callback", note)
    for text in ("short", "x" * THREAD_BYTES):
        client.post(f"{BASE}/result", json=COMPLETED | {"result": {"text": text}})
    assert (held, parsing.locked()) == ([True, True], False)


def test_large_callbacks_that_find_no_seat_are_asked_to_come_again(
    client: Caller, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.rows.see(ended())
    monkeypatch.setattr(receive, "SEAT_SECONDS", 0.01)
    parts = client.app.state.parts
    client.app.state.parts = replace(parts, receiving=asyncio.Semaphore(0))
    large = COMPLETED | {"result": {"text": "x" * THREAD_BYTES}}
    assert client.post(f"{BASE}/result", json=large).status_code == 503
    assert client.post(f"{BASE}/result", json=COMPLETED).status_code == 200
    client.app.state.parts = parts
    assert client.post(f"{BASE}/result", json=large).status_code == 409


def test_the_kept_bytes_are_the_same_however_the_payload_is_spelt() -> None:
    spellings = [
        {"job_id": "a", "status": "completed", "result": {"text": "안녕", "language": None}, "error": None},
        {"result": {"language": None, "text": "안녕"}, "job_id": "a"},
    ]
    kept = {render_canonical(CallbackPayload.model_validate(spelling)) for spelling in spellings}
    assert kept == {'{"job_id":"a","result":{"language":null,"text":"안녕"},"status":"completed"}'.encode()}
