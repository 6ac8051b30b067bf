"""Starting a transcription: asked once or many times, before the upload, and when Kubernetes does not answer."""

import asyncio
import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import auth
from api.app import build_app
from api.doors import StoredObject
from api.row import Row
from api.schemas import RequestProcessRequest
from api.submit import OPTIONS_OF_SPEC, build_digest, build_job_ids
from crds.transcriptionjob import Source, Spec
from tests.support.api_fakes import (
    KEY,
    SECRET,
    VIDEO_URL,
    Caller,
    FakeStore,
    FakeUploads,
    TenantGate,
    a_row,
    some_settings,
)

BASE = "/api/upload-video"
WISH = {"job_id": "a", "video_url": VIDEO_URL}
OTHER_SECRET = "whsec_" + "QUJD" * 8


@pytest.fixture
def client(client: Caller) -> Iterator[Caller]:
    """Tests may `change` its parts: others do not see that."""
    before = client.app.state.parts
    yield client
    client.app.state.parts = before


def change(client: Caller, **parts: Any) -> None:
    state = client.app.state
    state.parts = replace(state.parts, **parts)


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
        assert answer.json()["detail"] == (
            "This job_id or Idempotency-Key belongs to a job with another video_url or other options: "
            "choose another one."
        )


@pytest.mark.parametrize("other", [{"engine": "batched"}, {"language_options": ["ko"]}])
def test_engine_and_languages_are_part_of_the_wish(client: Caller, other: dict[str, Any]) -> None:
    wish = WISH | {"engine": "quality", "language_options": ["ko", "en"]}
    assert client.post(f"{BASE}/process-video", json=wish).status_code == 202
    reordered = wish | {"language_options": ["en", "ko", "en"]}
    assert client.post(f"{BASE}/process-video", json=reordered).status_code == 202
    assert client.post(f"{BASE}/process-video", json=wish | other).status_code == 409


def test_a_refused_engine_is_told_which_there_are(client: Caller) -> None:
    answer = client.post(f"{BASE}/process-video", json=WISH | {"engine": "fast"})
    assert answer.status_code == 422
    assert "'auto', 'batched' or 'quality'" in answer.json()["errors"][0]["message"]


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
    for wish in (WISH, WISH | {"language": "ko"}):
        refused = client.post(f"{BASE}/process-video", json=wish)
        assert (refused.status_code, "is being deleted" in refused.json()["detail"]) == (409, True)
    assert client.get(f"{BASE}/status/a").status_code == 404
    assert client.get(f"{BASE}/jobs").json() == {"jobs": [], "next_token": None}


def test_case_47_a_request_before_the_upload_is_refused(client: Caller, uploads: FakeUploads) -> None:
    uploads.objects.clear()
    answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL})
    assert (answer.status_code, answer.json()["code"]) == (404, "object_not_found")


@pytest.mark.parametrize(("size", "status"), [(0, 422), (1, 202), (10, 202), (11, 422)])
def test_case_70_an_empty_or_too_large_upload_is_refused(
    client: Caller, uploads: FakeUploads, size: int, status: int
) -> None:
    change(client, settings=some_settings(max_upload_bytes=10))
    uploads.objects[KEY] = b"x" * size
    answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL})
    assert (answer.status_code, answer.json().get("code")) == (status, "object_size" if status == 422 else None)


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


def ask_as(client: Caller, tenant: str, job_id: str, key: str = "") -> tuple[int, str | None]:
    wish = {"job_id": job_id, "video_url": f"s3://media/{key or f'videos/{tenant}/a.mp4'}"}
    answer = client.post(f"{BASE}/process-video", json=wish, headers={"x-api-key": tenant})
    return answer.status_code, answer.json().get("code")


def test_case_46_only_ones_own_uploads_are_found_also_when_names_begin_alike(
    client: Caller, store: FakeStore, uploads: FakeUploads
) -> None:
    change(client, gate=TenantGate())
    uploads.objects |= {"videos/alice/a.mp4": b"video", "videos/al/a.mp4": b"video"}
    assert ask_as(client, "al", "a", "videos/alice/a.mp4") == (404, "object_not_found")
    assert ask_as(client, "alice", "a", "videos/al/a.mp4") == (404, "object_not_found")
    assert ask_as(client, "al", "a")[0] == 202
    assert ask_as(client, "alice", "b")[0] == 202
    assert {name: spec.tenant for name, spec in store.specs.items()} == {"a": "al", "b": "alice"}


@pytest.mark.parametrize("is_cached", [False, True])
def test_case_42_a_taken_id_tells_nothing_to_who_has_no_upload(
    client: Caller, store: FakeStore, uploads: FakeUploads, is_cached: bool
) -> None:
    change(client, gate=TenantGate())
    bobs = replace(a_row("bobs-job", 7), tenant="bob", is_deleting=True)
    if is_cached:
        store.rows.see(bobs)
    else:
        store.unseen["bobs-job"] = bobs
    for name in ("bobs-job", "eves-job"):
        assert ask_as(client, "alice", name) == (404, "object_not_found")
    assert store.asked[0] == ("read", "--------" if is_cached else "bobs-job")
    uploads.objects["videos/alice/a.mp4"] = b"video"
    wish = {"job_id": "bobs-job", "video_url": "s3://media/videos/alice/a.mp4"}
    refused = client.post(f"{BASE}/process-video", json=wish, headers={"x-api-key": "alice"})
    assert (refused.status_code, refused.json()["code"]) == (409, "job_conflict")
    assert "deleted" not in refused.json()["detail"]
    assert store.specs == {}


def test_what_the_installation_says_of_gpus_reaches_the_resource(client: Caller, store: FakeStore) -> None:
    change(client, settings=some_settings(default_gpu_count=2, default_gpu_resource="amd.com/gpu"))
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 202
    gpus = store.specs["a"].resources
    assert (gpus.gpu, gpus.gpu_resource) == (2, "amd.com/gpu")
    assert store.specs["a"].tenant == "anonymous"


SORTED = '{"formats": ["srt", "vtt"], "priority": "low"}'


def digest_of(**options: Any) -> str:
    return build_digest(RequestProcessRequest(video_url=VIDEO_URL, **options), KEY)


def test_a_wish_is_the_same_in_whatever_order_and_however_often_formats_are_named() -> None:
    assert digest_of(formats=["srt", "vtt"]) == digest_of(formats=["vtt", "srt", "vtt"])
    assert digest_of(formats=["srt"]) != digest_of(formats=["srt", "vtt"])
    assert digest_of() == digest_of(task="transcribe")
    assert digest_of() != digest_of(task="translate")


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        ({}, "{}"),
        ({"initial_prompt": "한"}, '{"initial_prompt": "\\ud55c"}'),
        ({"formats": ["vtt", "srt"], "priority": "low"}, SORTED),
    ],
)
def test_digests_are_those_of_earlier_versions_which_stand_in_the_cluster(options: dict[str, Any], wish: str) -> None:
    asked = RequestProcessRequest(video_url=VIDEO_URL, **options)
    assert build_digest(asked, "videos/é") == hashlib.sha256(f'["videos/\\u00e9", {wish}]'.encode()).hexdigest()


def test_what_nobody_asks_for_is_the_default_of_the_resource() -> None:
    asked = RequestProcessRequest(video_url=VIDEO_URL)
    spec = Spec(source=Source(bucket="media", key=KEY))
    assert {name: getattr(asked, name) for name in OPTIONS_OF_SPEC} == spec.model_dump(include=set(OPTIONS_OF_SPEC))
    assert tuple(asked.formats) == spec.formats


def test_the_id_of_an_idempotency_key_depends_on_the_tenant_and_on_the_secret() -> None:
    """Who knows everything but the secret cannot work it out."""
    first, other = (some_settings(callback_secret=secret) for secret in (SECRET, OTHER_SECRET))
    alice, bob = auth.Caller("alice", is_confined=True), auth.Caller("bob", is_confined=True)
    chosen = [(first, alice), (first, bob), (other, alice), (some_settings(), alice)]
    ids = [build_job_ids("k", caller, settings)[0] for settings, caller in chosen]
    assert len(set(ids)) == 4
    assert ids == [build_job_ids("k", caller, settings)[0] for settings, caller in chosen]
    assert {str(uuid.UUID(made)) for made in ids} == set(ids)


def test_an_idempotency_key_means_the_same_job_while_the_secret_changes(store: FakeStore, uploads: FakeUploads) -> None:
    before = some_settings(callback_secret=OTHER_SECRET)
    meanwhile = some_settings(callback_secret=SECRET, callback_previous_secret=OTHER_SECRET)
    after = some_settings(callback_secret=SECRET)
    answers = []
    for settings, key in [(before, "a"), (meanwhile, "a"), (meanwhile, "b"), (after, "b")]:
        with TestClient(build_app(settings, store, uploads)) as client:
            answers.append(request(client, key))
    old, again, new, later = answers
    assert old == again
    assert new == later != old
    assert {status for status, _ in answers} == {202}
    assert len(store.list()) == 2


class SlowStore(FakeStore):
    """Lets others run before each answer."""

    async def read(self, name: str) -> Row | None:
        await asyncio.sleep(0)
        return await super().read(name)

    async def create(self, name: str, spec: Spec, annotations: Mapping[str, str]) -> Row:
        await asyncio.sleep(0)
        return await super().create(name, spec, annotations)


class SlowUploads(FakeUploads):
    """As SlowStore."""

    async def head(self, key: str) -> StoredObject | None:
        await asyncio.sleep(0)
        return await super().head(key)


async def _ask_at_once(app: FastAPI, wishes: list[dict[str, str]]) -> list[int]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://api{BASE}/") as client:
        answers = [client.post("process-video" if "job_id" in w else "request-process", json=w) for w in wishes]
        return [answer.status_code for answer in await asyncio.gather(*answers)]


@pytest.mark.parametrize("is_named", [False, True])
def test_no_more_are_started_than_there_is_room_for_when_all_are_asked_for_at_once(is_named: bool) -> None:
    store = SlowStore(a_row("running", 1, {"state": "Running"}))
    app = build_app(some_settings(max_live_jobs=6), store, SlowUploads())
    wishes = [{"video_url": VIDEO_URL} | ({"job_id": f"a{n}"} if is_named else {}) for n in range(100)]
    statuses = asyncio.run(_ask_at_once(app, wishes))
    assert (statuses.count(202), statuses.count(429)) == (5, 95)
    assert store.rows.live == 6
    assert not app.state.parts.submitting


def test_the_same_wish_a_hundred_times_at_once_needs_room_for_one() -> None:
    store = SlowStore()
    app = build_app(some_settings(max_live_jobs=1), store, SlowUploads())
    assert set(asyncio.run(_ask_at_once(app, [WISH] * 100))) == {202}
    assert len(store.list()) == 1


def test_the_room_of_what_could_not_be_made_is_free_again(
    client: Caller, store: FakeStore, uploads: FakeUploads
) -> None:
    change(client, settings=some_settings(max_live_jobs=1))
    uploads.is_down = True
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 503
    uploads.is_down, store.is_refusing_connections = False, True
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 503
    store.is_refusing_connections = False
    assert client.post(f"{BASE}/process-video", json=WISH).status_code == 202
