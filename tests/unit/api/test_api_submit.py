"""Starting a transcription: asked once or many times, before the upload, and when Kubernetes does not answer."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from api.app import build_app
from tests.support.api_fakes import KEY, VIDEO_URL, Caller, FakeStore, FakeUploads, some_settings

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
