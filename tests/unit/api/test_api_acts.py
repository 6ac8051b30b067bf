"""What callers do to a job that is there: cancel, retry, redeliver, delete."""

from dataclasses import replace
from typing import Any

import pytest

from api.row import parse_row
from crds.transcriptionjob import State
from tests.support.api_fakes import Caller, FakeStore, FakeUploads, a_manifest, a_result, a_row

BASE = "/api/upload-video"
FAILED = {"state": "Failed", "attempt": 1, "failure": {"reason": "NoAudio", "message": "No.", "retryable": False}}
DONE = {"state": "Succeeded", "attempt": 1, "result": a_result()}
RECORD = {"callback": {"state": "Failed", "id": "msg_1", "attempts": 10, "lastStatusCode": 500}}
ACTS = ("POST jobs/{}/cancel", "POST jobs/{}/retry", "POST jobs/{}/callback/redeliver", "DELETE jobs/{}")


def send(client: Caller, act: str, name: str = "a") -> tuple[int, dict[str, Any]]:
    method, path = act.format(name).split()
    answer = client.request(method, f"{BASE}/{path}")
    return answer.status_code, answer.json() if answer.content else {}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["unknown", "A_b", "-"])
def test_it_is_not_found_when_the_id_is_unknown(client: Caller, act: str, name: str) -> None:
    status, body = send(client, act, name)
    assert (status, body["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    ("act", "status", "code"),
    [
        (ACTS[0], DONE, "already_final"),
        (ACTS[0], FAILED, "already_final"),
        (ACTS[1], DONE, "job_not_failed"),
        (ACTS[1], {"state": "Running"}, "job_not_failed"),
        (ACTS[1], {"state": "Cancelled"}, "job_not_failed"),
        (ACTS[2], {"state": "Running"}, "job_not_ended"),
        (ACTS[2], DONE, "no_callback"),
        (ACTS[3], {"state": "Running"}, "job_not_ended"),
        (ACTS[3] + "?outputs=true", {}, "job_not_ended"),
    ],
)
def test_it_is_a_conflict_that_shows_the_job_in_the_wrong_state(
    client: Caller, store: FakeStore, uploads: FakeUploads, act: str, status: dict[str, Any], code: str
) -> None:
    store.rows.see(a_row("a", status=status))
    kept = dict(uploads.objects)
    answered, body = send(client, act)
    assert (answered, body["code"], body["job"]["job_id"]) == (409, code, "a")
    assert store.rows.get("a") == a_row("a", status=status)
    assert uploads.objects == kept


def test_a_failed_job_is_in_the_queue_again_when_it_is_retried(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status=FAILED))
    status, body = send(client, ACTS[1])
    assert (status, body["status"], body["state"], body["stage"]) == (202, "processing", "Pending", "queued")
    assert "error" not in body
    assert client.get(f"{BASE}/status/a").json() == body
    assert send(client, ACTS[1])[0] == 409


def test_a_retry_is_refused_when_the_job_was_cancelled_before_the_last_one_began(
    client: Caller, store: FakeStore
) -> None:
    manifest = a_manifest("a", status=FAILED)
    manifest["spec"] |= {"retries": 1, "cancel": True}
    store.rows.see(parse_row(manifest))
    assert client.get(f"{BASE}/status/a").json()["status"] == "failed"
    status, body = send(client, ACTS[1])
    assert (status, body["code"], body["job"]["status"]) == (409, "job_not_failed", "failed")
    assert "new request" in body["detail"]
    assert ("write", "a") not in store.asked


@pytest.mark.parametrize("state", [DONE, FAILED])
def test_a_callback_is_sent_again_when_the_job_has_ended(
    client: Caller, store: FakeStore, state: dict[str, Any]
) -> None:
    store.rows.see(a_row("a", status=state | RECORD))
    status, body = send(client, ACTS[2])
    assert (status, body["callback"]) == (202, {"state": "Failed", "attempts": 10, "last_status_code": 500})
    row = store.rows.get("a")
    assert row is not None
    assert row.redeliveries == 1


def test_a_deleted_job_is_gone_and_its_files_stay(client: Caller, store: FakeStore, uploads: FakeUploads) -> None:
    row = a_row("a", status=DONE)
    store.rows.see(row)
    key = "transcripts/transcription/a/uid-of-a/1/transcript.json"
    uploads.objects[key] = b"{}"
    assert send(client, ACTS[3]) == (204, {})
    assert client.get(f"{BASE}/status/a").status_code == 404
    assert key in uploads.objects


def test_its_files_are_deleted_too_when_that_is_asked(client: Caller, store: FakeStore, uploads: FakeUploads) -> None:
    store.rows.see(a_row("a", status=DONE))
    mine = [f"transcripts/transcription/a/uid-of-a/{n}/transcript.{end}" for n in (1, 2) for end in ("json", "srt")]
    mine.append("callbacks/transcription/a/uid-of-a/1.json")
    others = ["transcripts/transcription/a/uid-of-b/1/transcript.json", "transcripts/transcription/a-b/x/1/t.json"]
    uploads.objects |= dict.fromkeys([*mine, *others], b"{}")
    assert send(client, ACTS[3] + "?outputs=true")[0] == 204
    assert not uploads.objects.keys() & set(mine)
    assert uploads.objects.keys() >= set(others)


@pytest.mark.parametrize("state", ["Pending", "Queued", "Running"])
def test_all_files_of_a_job_stay_when_it_has_not_ended(
    client: Caller, store: FakeStore, uploads: FakeUploads, state: str
) -> None:
    store.rows.see(a_row("a", status={"state": state}))
    outputs = [f"transcripts/transcription/a/uid-of-a/{n}/transcript.json" for n in (1, 2)]
    uploads.objects |= dict.fromkeys([*outputs, "callbacks/transcription/a/uid-of-a/1.json"], b"{}")
    kept = dict(uploads.objects)
    status, body = send(client, ACTS[3] + "?outputs=true")
    assert (status, body["code"]) == (409, "job_not_ended")
    assert uploads.objects == kept
    assert store.rows.get("a") is not None


def test_the_job_stays_when_its_files_cannot_be_deleted(client: Caller, store: FakeStore, uploads: FakeUploads) -> None:
    store.rows.see(a_row("a", status=DONE))
    uploads.is_down = True
    assert send(client, ACTS[3] + "?outputs=true")[0] == 503
    assert store.rows.get("a") is not None


def test_it_decides_anew_when_the_job_changes_in_between(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status=FAILED))
    store.conflicts = 1
    assert send(client, ACTS[1])[0] == 202
    row = store.rows.get("a")
    assert row is not None
    assert row.retries == 1


def test_it_is_a_conflict_when_the_job_never_stands_still(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status=FAILED))
    store.conflicts = 100
    status, body = send(client, ACTS[1])
    assert (status, body["code"]) == (409, "job_conflict")


def test_acts_look_past_the_cache(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status=FAILED))
    row = store.rows.get("a")
    assert row is not None
    store.cached["a"] = replace(row, state=State.RUNNING)
    assert send(client, ACTS[1])[0] == 202
