"""Who may call and see what, on the wire: cases 40 and 42 to 50 of the input corpus, with two tenants' API keys."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from api.row import Row
from tests.support.api_fakes import SECRET, FakeStore, FakeUploads, a_result, a_row
from tests.support.live_api import LiveApi, serve
from tests.support.raw_http import Reply, build_request, exchange

BASE = "/api/upload-video"
KEYS = {"alice": "key of alice", "bob": "key of bob"}
OPEN = {"/health", "/ready", f"{BASE}/result"}
UPLOADS = {f"videos/{tenant}/20250911_034548_3b3673a3_a.mp4": b"video" for tenant in KEYS}
ENDED = {"state": "Succeeded", "attempt": 1, "result": a_result()}


def a_row_of(tenant: str, version: int) -> Row:
    return replace(a_row(f"job-of-{tenant}", version, ENDED), tenant=tenant)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    lines = [f"{tenant} sha256:{hashlib.sha256(key.encode()).hexdigest()}\n" for tenant, key in KEYS.items()]
    (tmp_path / "keys").write_text("".join(lines))
    return tmp_path / "keys"


@pytest.fixture
def live(keys: Path) -> Iterator[LiveApi]:
    rows = [a_row_of(tenant, n + 1) for n, tenant in enumerate(KEYS)]
    uploads = FakeUploads(**UPLOADS, **{a_result()["key"]: b"{}"})
    with serve(FakeStore(*rows), uploads, auth_mode="api-key", keys_file=keys, callback_secret=SECRET) as api:
        yield api


def call(live: LiveApi, method: str, path: str, tenant: str | None = None, body: Any = None, **more: str) -> Reply:
    headers = {name.replace("_", "-"): text for name, text in more.items()}
    if tenant is not None:
        headers["Authorization"] = f"Bearer {KEYS.get(tenant, tenant)}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    sent = b"" if body is None else json.dumps(body).encode()
    return exchange(live.port, build_request(method, path, headers, sent))


def video_of(tenant: str) -> str:
    return f"https://media.s3.amazonaws.com/{quote(next(key for key in UPLOADS if f'/{tenant}/' in key))}"


def operations(live: LiveApi) -> list[tuple[str, str]]:
    paths: dict[str, Any] = live.app.openapi()["paths"]
    return [
        (method.upper(), path.format(job_id="job-of-alice", output="txt", model="demo"))
        for path, taken in paths.items()
        for method in taken
        if path not in OPEN
    ]


@pytest.mark.parametrize("credential", [None, "", "wrong", "Key of alice", "key", "x" * 8000])
def test_case_40_nothing_is_open_without_a_good_key(live: LiveApi, credential: str | None) -> None:
    asked = operations(live)
    assert len(asked) > 12
    for method, path in asked if credential is None else asked[:3]:
        reply = call(live, method, path, credential, {} if method == "POST" else None)
        assert reply.status == 401, (method, path)
        assert reply.headers["www-authenticate"] == "Bearer"
        assert b"alice" not in reply.body
    assert live.store.specs == {}


def test_case_40_probes_need_no_key(live: LiveApi) -> None:
    for path in ("/health", "/ready", "/openapi.json", "/metrics"):
        assert call(live, "GET", path).status == 200


FOREIGN = [
    ("GET", "/status/{}"),
    ("GET", "/status/{}?wait=1"),
    ("GET", "/jobs/{}/events"),
    ("GET", "/result/{}"),
    ("HEAD", "/result/{}"),
    ("GET", "/transcripts/{}.json"),
    ("POST", "/jobs/{}/cancel"),
    ("POST", "/jobs/{}/retry"),
    ("POST", "/jobs/{}/callback/redeliver"),
    ("DELETE", "/jobs/{}?outputs=true"),
]


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_case_42_a_foreign_job_is_as_an_unknown_one(live: LiveApi, method: str, path: str) -> None:
    """The same answer, and the same questions to the API server: the time tells nothing either."""
    replies, looks = [], []
    for name in ("job-of-bob", "job-of-eve"):
        live.store.asked.clear()
        replies.append(call(live, method, BASE + path.format(name), "alice"))
        assert ("read", "job-of-bob") not in live.store.asked
        looks.append([(kind, len(asked)) for kind, asked in live.store.asked])
    assert [reply.status for reply in replies] == [404, 404]
    assert replies[0].body == replies[1].body
    assert replies[0].headers | {"date": ""} == replies[1].headers | {"date": ""}
    assert looks == [[("read", len("job-of-bob"))]] * 2
    assert live.store.rows.get("job-of-bob") == a_row_of("bob", 2)
    assert a_result()["key"] in live.uploads.objects


def test_case_42_a_foreign_id_cannot_be_taken(live: LiveApi) -> None:
    asked = {"job_id": "job-of-bob", "video_url": video_of("alice")}
    reply = call(live, "POST", f"{BASE}/process-video", "alice", asked)
    assert (reply.status, reply.json["code"]) == (409, "job_conflict")
    for name in ("job-of-bob", "job-of-eve"):
        early = asked | {"job_id": name, "video_url": "s3://media/videos/alice/not-there.mp4"}
        reply = call(live, "POST", f"{BASE}/process-video", "alice", early)
        assert (reply.status, reply.json["code"]) == (404, "object_not_found")
    assert live.store.specs == {}


def test_case_43_only_ones_own_jobs_are_listed(live: LiveApi) -> None:
    for tenant in KEYS:
        jobs = call(live, "GET", f"{BASE}/jobs", tenant).json["jobs"]
        assert [job["job_id"] for job in jobs] == [f"job-of-{tenant}"]


def test_case_43_the_token_of_another_opens_nothing(live: LiveApi) -> None:
    for n in range(3):
        live.store.rows.see(replace(a_row(f"more-{n}", n + 10), tenant="bob"))
    token = call(live, "GET", f"{BASE}/jobs?limit=2", "bob").json["next_token"]
    assert token is not None
    reply = call(live, "GET", f"{BASE}/jobs?limit=2&next_token={token}", "alice")
    assert b"bob" not in reply.body
    assert b"more" not in reply.body
    for query in ("limit=-1", "limit=0", "limit=1e9", "limit=a", f"next_token={token[:-2]}AA", "next_token=x"):
        assert call(live, "GET", f"{BASE}/jobs?{query}", "bob").status == 422, query


def test_case_44_credentials_of_users_and_workers_do_not_mix(live: LiveApi) -> None:
    signed = {"webhook_id": "1", "webhook_timestamp": "1", "webhook_signature": "v1,x"}
    assert call(live, "GET", f"{BASE}/jobs", **signed).status == 403
    told = {"job_id": "job-of-alice", "result": {"text": "mine"}}
    kept = dict(live.uploads.objects)
    assert call(live, "POST", f"{BASE}/result", "alice", told).status in (401, 403)
    assert live.uploads.objects == kept


def test_case_45_a_thousand_wrong_keys_are_too_many(live: LiveApi) -> None:
    statuses = [call(live, "GET", f"{BASE}/jobs", f"wrong {n}").status for n in range(1000)]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 200
    refused = call(live, "GET", f"{BASE}/jobs", "wrong")
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert call(live, "GET", "/health").status == 200


@pytest.mark.parametrize("prefix", ["https://media.s3.amazonaws.com/", "s3://media/", "http://s3.internal:9000/media/"])
def test_case_46_an_upload_of_another_is_not_found(live: LiveApi, prefix: str) -> None:
    foreign = next(key for key in UPLOADS if "/bob/" in key)
    dodges = (foreign, "videos/alice/../bob/a.mp4", "videos/alice%2f..%2fbob/a.mp4", "videos/alicex/a.mp4")
    for key in dodges:
        asked = {"video_url": prefix + key}
        assert call(live, "POST", f"{BASE}/request-process", "alice", asked).status in (404, 422)
    assert live.store.specs == {}
    own = {"video_url": prefix + foreign}
    assert call(live, "POST", f"{BASE}/request-process", "bob", own).status == 202


def test_case_47_a_request_before_the_upload_is_not_found(live: LiveApi) -> None:
    ticket = call(live, "POST", f"{BASE}/generate-url", "alice", {"filename": "a.mp4", "content_type": "video/mp4"})
    reply = call(live, "POST", f"{BASE}/request-process", "alice", {"video_url": ticket.json["video_url"]})
    assert (reply.status, reply.json["code"]) == (404, "object_not_found")
    assert live.store.specs == {}


def test_case_48_the_same_idempotency_key_is_the_same_job(live: LiveApi) -> None:
    asked = {"video_url": video_of("alice")}
    same = [call(live, "POST", f"{BASE}/request-process", "alice", asked, Idempotency_Key="k") for _ in range(3)]
    assert {reply.status for reply in same} == {202}
    assert len({reply.json["job_id"] for reply in same}) == 1
    other = call(live, "POST", f"{BASE}/request-process", "alice", asked | {"task": "translate"}, Idempotency_Key="k")
    assert (other.status, other.json["code"]) == (409, "job_conflict")
    bobs = call(live, "POST", f"{BASE}/request-process", "bob", {"video_url": video_of("bob")}, Idempotency_Key="k")
    assert bobs.status == 202
    assert len(live.store.specs) == 2


@pytest.mark.parametrize("path", ["process-video", "request-process"])
def test_case_49_a_hundred_identical_requests_at_once_make_one_job(live: LiveApi, path: str) -> None:
    body = {"video_url": video_of("alice")} | ({"job_id": "hundred"} if path == "process-video" else {})

    def ask(_: int) -> Reply:
        return call(live, "POST", f"{BASE}/{path}", "alice", body, Idempotency_Key="hundred")

    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(ask, range(100)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.json["job_id"] for reply in replies}) == 1
    assert len(live.store.specs) == 1


@pytest.mark.parametrize(("path", "word"), [("/health", "ok"), ("/ready", "ready")])
def test_case_50_health_tells_nothing_else(live: LiveApi, path: str, word: str) -> None:
    reply = call(live, "GET", path)
    assert (reply.status, reply.json) == (200, {"status": word})
    assert not {"server", "x-powered-by", "via"} & set(reply.headers)
