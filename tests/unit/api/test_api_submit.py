"""Starting a transcription: asked once or many times, before the upload, and when Kubernetes does not answer."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from api.app import build_app
from tests.support.api_fakes import KEY, VIDEO_URL, Caller, FakeStore, FakeUploads, a_row, some_settings

BASE = "/api/upload-video"
WISH = {"job_id": "a", "video_url": VIDEO_URL}


def test_the_same_request_is_the_same_job_even_when_the_upload_is_gone(
    client: Caller, store: FakeStore, uploads: FakeUploads
) -> None:
    first = client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL})
    uploads.objects.clear()
    again = client.post(
        f"{BASE}/process-video", json={"job_id": "a", "video_url": f"s3://media/{KEY}", "task": "transcribe"}
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert len(store.list()) == 1


def test_the_same_id_with_another_wish_is_a_conflict(client: Caller, uploads: FakeUploads) -> None:
    client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL})
    uploads.objects["videos/other.mp4"] = b"video"
    for wish in ({"video_url": VIDEO_URL, "language": "ko"}, {"video_url": "s3://media/videos/other.mp4"}):
        answer = client.post(f"{BASE}/process-video", json={"job_id": "a", **wish})
        assert (answer.status_code, answer.json()["code"]) == (409, "job_conflict")


def test_a_request_that_loses_a_race_finds_the_winner(client: Caller, store: FakeStore) -> None:
    client.post(f"{BASE}/process-video", json=WISH)
    store.hidden.add("a")
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 202
    store.hidden.add("a")
    assert client.post(f"{BASE}/process-video", json=WISH | {"language": "ko"}).status_code == 409


def test_case_86_a_job_that_is_being_deleted_is_neither_seen_nor_revived(client: Caller, store: FakeStore) -> None:
    client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL})
    row = store.rows.get("a")
    assert row is not None
    store.rows.see(replace(row, is_deleting=True))
    assert client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL}).status_code == 409
    assert client.get(f"{BASE}/status/a").status_code == 404
    assert client.get(f"{BASE}/jobs").json() == {"jobs": [], "next_token": None}


def test_case_47_a_request_before_the_upload_is_refused(client: Caller, uploads: FakeUploads) -> None:
    uploads.objects.clear()
    answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL})
    assert (answer.status_code, answer.json()["code"]) == (404, "object_not_found")


@pytest.mark.parametrize("size", [0, 11])
def test_case_70_an_empty_or_too_large_upload_is_refused(store: FakeStore, uploads: FakeUploads, size: int) -> None:
    uploads.objects[KEY] = b"x" * size
    with TestClient(build_app(some_settings(max_upload_bytes=10), store, uploads)) as client:
        answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL})
    assert (answer.status_code, answer.json()["code"]) == (422, "object_size")


def test_a_creation_that_went_unanswered_is_found_by_the_second_try(client: Caller, store: FakeStore) -> None:
    for path, wish in (("process-video", WISH), ("request-process", {"video_url": VIDEO_URL})):
        store.unanswered = 1
        answer = client.post(f"{BASE}/{path}", json=wish)
        assert (answer.status_code, store.unanswered) == (202, 0)
    assert len(store.list()) == 2


def test_a_creation_is_tried_twice_and_no_more(client: Caller, store: FakeStore) -> None:
    store.is_refusing_connections = True
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 503
    assert store.tries == 2


def test_a_known_id_is_looked_up_past_the_cache(client: Caller, store: FakeStore) -> None:
    client.post(f"{BASE}/process-video", json=WISH)
    row = store.rows.get("a")
    assert row is not None
    store.cached["a"] = replace(row, request_digest="another")
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 202


def request(client: Caller, key: str, **options: object) -> tuple[int, str]:
    asked = {"video_url": VIDEO_URL, **options}
    answer = client.post(f"{BASE}/request-process", json=asked, headers={"idempotency-key": key})
    return answer.status_code, answer.json().get("job_id") or answer.json()["code"]


def test_case_48_the_same_idempotency_key_is_the_same_job(client: Caller, store: FakeStore) -> None:
    first = request(client, "order 7")
    assert first[0] == 202
    assert [request(client, "order 7") for _ in range(3)] == [first] * 3
    assert request(client, "order 8")[1] != first[1]
    assert request(client, "order 7", language="ko") == (409, "job_conflict")
    assert len(store.list()) == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", " a", "é"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(client: Caller, key: str) -> None:
    headers = {"idempotency-key": key.encode()}
    answer = client.request("POST", f"{BASE}/request-process", json={"video_url": VIDEO_URL}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_a_priority_is_the_installations_class_of_that_name(store: FakeStore, uploads: FakeUploads) -> None:
    settings = some_settings(priority_low="t-low", priority_high="t-high")
    with TestClient(build_app(settings, store, uploads)) as client:
        for priority in ("low", "normal", "high"):
            asked = WISH | {"job_id": priority, "priority": priority}
            assert client.post(f"{BASE}/process-video", json=asked).status_code == 202
        urgent = WISH | {"job_id": "u", "priority": "system-node-critical"}
        assert client.post(f"{BASE}/process-video", json=urgent).status_code == 422
    assert [store.specs[name].priority for name in ("low", "normal", "high")] == ["t-low", None, "t-high"]


def test_nothing_is_started_when_too_many_are_unfinished(store: FakeStore, uploads: FakeUploads) -> None:
    store.rows.see(a_row("running", 50, {"state": "Running"}))
    store.rows.see(a_row("done", 51, {"state": "Succeeded"}))
    with TestClient(build_app(some_settings(max_live_jobs=2), store, uploads)) as client:
        assert client.post(f"{BASE}/process-video", json=WISH).status_code == 202
        refused = client.post(f"{BASE}/process-video", json=WISH | {"job_id": "b"})
        again = client.post(f"{BASE}/process-video", json=WISH)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert int(refused.headers["retry-after"]) > 0
    assert again.status_code == 202
