"""The journey of the front end, over fake doors."""

import re
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from api.app import build_app
from api.errors import JOB_NOT_FOUND_MESSAGE
from api.row import parse_row
from crds.transcriptionjob import State
from tests.support.api_fakes import (
    KEY,
    VIDEO_URL,
    Caller,
    FakeStore,
    FakeUploads,
    a_manifest,
    a_result,
    a_row,
    some_settings,
)

BASE = "/api/upload-video"
PROBLEM = "application/problem+json"


@pytest.mark.parametrize("field", ["content_type", "filetype"])
def test_generate_url_answers_both_dialects(client: Caller, uploads: FakeUploads, field: str) -> None:
    answer = client.post(f"{BASE}/generate-url", json={"filename": "sample.mp4", field: "video/mp4"})
    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"videos/anonymous/20250911_034548_[0-9a-f]{8}_sample\.mp4", body["fileKey"])
    assert body["url"] == body["upload_url"]
    assert body["video_url"] == f"http://s3.internal:9000/media/{body['fileKey']}"
    assert uploads.signed == [(body["fileKey"], "video/mp4")]


def test_video_url_of_generate_url_is_accepted_back_in_any_script(client: Caller, uploads: FakeUploads) -> None:
    made = client.post(f"{BASE}/generate-url", json={"filename": "회의 100%.mp4", "content_type": "video/mp4"}).json()
    uploads.objects[made["fileKey"]] = b"video"
    for url in (made["video_url"], made["video_url"] + "?X-Amz-Signature=secret"):
        assert client.post(f"{BASE}/request-process", json={"video_url": url}).status_code == 202


def test_request_process_starts_a_transcription_under_a_new_id(client: Caller, store: FakeStore) -> None:
    answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL + "?X-Amz-Signature=secret"})
    job_id = answer.json()["job_id"]
    assert answer.status_code == 202
    assert answer.json()["status"] == "processing"
    assert answer.headers["location"] == f"{BASE}/status/{job_id}"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", job_id)
    source = store.specs[job_id].source
    assert (source.bucket, source.key) == ("media", KEY)
    assert source.etag == '"421b47ffd946ca083b65cd668c6b17e6"'


def test_process_video_answers_the_journey_body(client: Caller) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": "123456", "video_url": VIDEO_URL})
    assert answer.status_code == 202
    assert answer.json() == {
        "job_id": "123456",
        "status": "processing",
        "message": "비디오 처리가 시작되었습니다",
        "status_url": f"{BASE}/status/123456",
    }


def test_options_reach_the_resource(client: Caller, store: FakeStore) -> None:
    asked = {
        "job_id": "a",
        "video_url": VIDEO_URL,
        "model": "large-v3",
        "language": "auto",
        "language_options": ["ko", "en"],
        "task": "translate",
        "word_timestamps": True,
        "formats": ["vtt", "json"],
        "initial_prompt": "이름",
        "engine": "quality",
        "callback_url": "https://example.com/hook",
        "metadata": {"order": "7"},
    }
    assert client.post(f"{BASE}/process-video", json=asked).status_code == 202
    assert store.specs["a"].to_manifest() | {"source": None} == {
        "source": None,
        "model": "large-v3",
        "language": "auto",
        "languageOptions": ["ko", "en"],
        "task": "translate",
        "wordTimestamps": True,
        "formats": ["json", "vtt"],
        "initialPrompt": "이름",
        "callback": {"url": "https://example.com/hook"},
        "metadata": {"order": "7"},
        "engine": "quality",
        "resources": {"gpu": 0, "gpuResource": "nvidia.com/gpu"},
        "tenant": "anonymous",
        "limits": {"attempts": 3, "queueSeconds": 86400, "runSeconds": 43200, "totalSeconds": 604800},
        "deleteOutputs": False,
        "suspend": False,
        "cancel": False,
        "retries": 0,
        "redeliveries": 0,
    }


def test_status_is_processing_with_zero_at_the_start(client: Caller) -> None:
    client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL})
    body = client.get(f"{BASE}/status/a").json()
    assert body["created_at"].endswith("Z")
    del body["created_at"]
    assert body == {
        "job_id": "a", "status": "processing", "progress": 0, "state": "Pending", "stage": "queued", "attempt": 0,
        "queue": {"position": 1},
    }  # fmt: skip


def test_status_says_why_it_waits_and_where_in_line(client: Caller, store: FakeStore) -> None:
    for number, name in enumerate(("first", "second"), start=1):
        waits = {"state": "Queued", "attempt": 1, "waitingReason": "Unschedulable", "message": "No free GPU."}
        store.rows.see(a_row(name, number, waits))
    queue = client.get(f"{BASE}/status/second").json()["queue"]
    assert queue == {"reason": "Unschedulable", "message": "No free GPU.", "position": 2}


def test_status_says_why_it_waits_for_a_node(client: Caller, store: FakeStore) -> None:
    waits = {"state": "Starting", "attempt": 1, "waitingReason": "Unschedulable", "message": "No free GPU."}
    store.rows.see(a_row("a", status=waits))
    body = client.get(f"{BASE}/status/a").json()
    assert (body["stage"], body["queue"]) == ("queued", {"reason": "Unschedulable", "message": "No free GPU."})


def test_a_job_waits_no_more_when_its_worker_has_reported(client: Caller, store: FakeStore) -> None:
    progress = {"podUID": "p", "attempt": 1, "stage": "Downloading"}
    store.rows.see(a_row("a", status={"state": "Pending", "attempt": 1, "progress": progress}))
    body = client.get(f"{BASE}/status/a").json()
    assert body["stage"] == "downloading"
    assert "queue" not in body


def test_nothing_of_the_failure_is_shown_when_a_retry_is_asked_for(client: Caller, store: FakeStore) -> None:
    failed = {
        "state": "Failed",
        "message": "No sound.",
        "attempt": 1,
        "completionTime": "2025-09-11T03:50:00Z",
        "failure": {"reason": "NoAudio", "message": "No sound.", "retryable": False},
        "progress": {"podUID": "p", "attempt": 1, "percent": 40, "stage": "Transcribing"},
        "callback": {"state": "Delivered", "id": "msg_1", "attempts": 1},
    }
    manifest = a_manifest("a", status=failed)
    manifest["spec"]["retries"] = 1
    store.rows.see(parse_row(manifest))
    body = client.get(f"{BASE}/status/a").json()
    assert (body["status"], body["progress"], body["state"], body["stage"]) == ("processing", 0, "Pending", "queued")
    assert {"message", "completed_at", "error", "callback"} & body.keys() == set()
    manifest["status"]["retries"] = 1
    store.rows.see(parse_row(manifest))
    assert client.get(f"{BASE}/status/a").json()["status"] == "failed"


def test_an_error_names_the_field_and_what_is_known(client: Caller) -> None:
    asked = {"video_url": VIDEO_URL, "langauge": "en"}
    problem = client.post(f"{BASE}/request-process", json=asked).json()
    assert "a field is unknown: send only model, language, language_options" in problem["detail"]
    assert "langauge" not in problem["detail"]
    refused = client.post(
        f"{BASE}/request-process", json={"video_url": VIDEO_URL}, headers={"idempotency-key": "한".encode()}
    )
    assert refused.json()["errors"][0]["field"] == "idempotency-key"
    listed = client.get(f"{BASE}/jobs?state=done").json()
    assert "send only status, model, created_after" in listed["detail"]


def test_a_language_that_whisper_does_not_know_is_refused(client: Caller) -> None:
    for language in ("qq", "english", "", "KO"):
        asked = {"video_url": VIDEO_URL, "language": language}
        assert client.post(f"{BASE}/request-process", json=asked).status_code == 422


def test_a_job_that_has_ended_is_not_said_to_begin(client: Caller, store: FakeStore) -> None:
    asked = {"job_id": "a", "video_url": VIDEO_URL}
    client.post(f"{BASE}/process-video", json=asked)
    row = store.rows.get("a")
    assert row is not None
    store.rows.see(replace(row, state=State.FAILED))
    again = client.post(f"{BASE}/process-video", json=asked)
    assert (again.status_code, again.json()["status"]) == (202, "failed")
    assert again.json()["message"] == "이미 끝난 작업입니다"


def test_status_tells_all_that_is_known_at_the_end(client: Caller, store: FakeStore) -> None:
    manifest = a_manifest(
        "a",
        status={
            "state": "Succeeded",
            "attempt": 2,
            "result": a_result() | {"formats": ["srt"]},
            "progress": {
                "podUID": "p",
                "attempt": 2,
                "percent": 100,
                "realtimeFactor": 8.5,
                "etaSeconds": 0,
                "note": "n",
            },
            "callback": {
                "state": "Pending",
                "id": "msg_1",
                "attempts": 2,
                "lastStatusCode": 503,
                "lastAttemptTime": "2025-09-11T03:50:00Z",
                "nextAttemptTime": "2025-09-11T03:55:00Z",
            },
        },
    )
    manifest["spec"] |= {"model": "large-v3", "metadata": {"order": "7"}}
    store.rows.see(parse_row(manifest))
    body = client.get(f"{BASE}/status/a").json()
    assert body == body | {
        "status": "completed",
        "progress": 100,
        "attempt": 2,
        "realtime_factor": 8.5,
        "note": "n",
        "model": "large-v3",
        "metadata": {"order": "7"},
        "outputs": {kind: f"{BASE}/transcripts/a.{kind}" for kind in ("json", "srt")},
        "callback": {
            "state": "Pending",
            "attempts": 2,
            "last_status_code": 503,
            "last_attempt_at": "2025-09-11T03:50:00Z",
            "next_attempt_at": "2025-09-11T03:55:00Z",
        },
    }
    assert {"stage", "queue", "eta_seconds", "error"} & body.keys() == set()


def test_status_tells_how_far_it_is(client: Caller, store: FakeStore) -> None:
    progress = {
        "podUID": "p",
        "attempt": 1,
        "percent": 40,
        "stage": "LoadingModel",
        "processedSeconds": 12.5,
        "totalSeconds": 31,
        "etaSeconds": 9,
    }
    started = "2025-09-11T03:45:50Z"
    store.rows.see(a_row("a", status={"state": "Running", "attempt": 1, "startTime": started, "progress": progress}))
    body = client.get(f"{BASE}/status/a").json()
    assert body["status"] == "processing"
    assert (body["progress"], body["stage"]) == (40, "loading model")
    assert (body["audio_seconds_done"], body["audio_seconds_total"], body["eta_seconds"]) == (12.5, 31, 9)
    assert body["started_at"] == started


def test_status_names_the_failure(client: Caller, store: FakeStore) -> None:
    failure = {"reason": "NoAudio", "message": "The file has no audio track.", "retryable": False}
    store.rows.see(a_row("a", status={"state": "Failed", "attempt": 1, "failure": failure}))
    body = client.get(f"{BASE}/status/a").json()
    assert body["status"] == "failed"
    assert body["error"] == {"code": "NoAudio", "message": "The file has no audio track.", "retryable": False}


def test_jobs_are_listed_newest_first(client: Caller, store: FakeStore) -> None:
    for version, name in enumerate(["old", "new"], start=1):
        store.rows.see(a_row(name, version, {"state": "Succeeded"}))
    body = client.get(f"{BASE}/jobs").json()
    assert [job["job_id"] for job in body["jobs"]] == ["new", "old"]
    assert body["jobs"][0]["status"] == "completed"
    assert body["next_token"] is None


def test_jobs_leave_out_what_is_not_known_as_status_does(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status={"state": "Running"}))
    assert client.get(f"{BASE}/jobs").json()["jobs"] == [client.get(f"{BASE}/status/a").json()]


def test_jobs_are_unavailable_before_the_first_list(client: Caller, store: FakeStore) -> None:
    store.is_synced = False
    assert client.get(f"{BASE}/jobs").status_code == 503


def test_result_streams_the_stored_json(client: Caller, store: FakeStore, uploads: FakeUploads) -> None:
    result = a_result()
    uploads.objects[result["key"]] = stored = '{"text":" 안녕","segments":[],"language":"ko"}'.encode()
    store.rows.see(a_row("a", status={"state": "Succeeded", "result": result}))
    answer = client.get(f"{BASE}/result/a")
    assert answer.status_code == 200
    assert answer.content == stored
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(stored))


def test_result_is_a_conflict_with_the_status_while_there_is_none(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status={"state": "Running"}))
    answer = client.get(f"{BASE}/result/a")
    assert answer.status_code == 409
    assert answer.json()["code"] == "result_not_ready"
    assert answer.json()["job"]["status"] == "processing"


def test_result_is_gone_when_the_file_was_deleted(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status={"state": "Succeeded", "result": a_result()}))
    assert client.get(f"{BASE}/result/a").status_code == 410


def test_cancel_is_asked_once_and_is_a_conflict_at_the_end(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a", status={"state": "Running"}))
    for _ in range(2):
        answer = client.post(f"{BASE}/jobs/a/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    row = store.rows.get("a")
    assert row is not None
    assert row.cancel
    store.rows.see(replace(row, state=State.CANCELLED))
    answer = client.post(f"{BASE}/jobs/a/cancel")
    assert (answer.status_code, answer.json()["job"]["status"]) == (409, "cancelled")


@pytest.mark.parametrize("path", ["status/nobody", "result/nobody", "status/Not%20an%20id", "status/a%00"])
def test_an_unknown_id_gets_the_korean_message(client: Caller, path: str) -> None:
    answer = client.get(f"{BASE}/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == PROBLEM
    assert (
        answer.json()["message"] == answer.json()["detail"] == JOB_NOT_FOUND_MESSAGE == "해당 작업을 찾을 수 없습니다"
    )


def test_a_dependency_that_is_down_is_503_with_retry_after(
    client: Caller, store: FakeStore, uploads: FakeUploads
) -> None:
    uploads.is_down = True
    answer = client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    store.is_down = True
    assert client.get(f"{BASE}/status/a").status_code == 503
    assert client.get("/health").json() == {"status": "ok"}


def test_probes_answer_monitors_that_ask_for_the_head_alone(client: Caller, store: FakeStore) -> None:
    assert [client.request("HEAD", path).status_code for path in ("/health", "/ready")] == [200, 200]
    store.is_synced = store.is_following = False
    assert [client.request("HEAD", path).status_code for path in ("/health", "/ready")] == [503, 503]


def test_readiness_waits_for_the_first_list(client: Caller, store: FakeStore) -> None:
    assert client.get("/ready").json() == {"status": "ready"}
    store.is_synced = False
    assert client.get("/ready").status_code == 503


def test_readiness_waits_for_a_bucket_that_can_be_used(
    client: Caller, uploads: FakeUploads, caplog: pytest.LogCaptureFixture
) -> None:
    uploads.is_down = True
    assert client.get("/ready").status_code == 503
    assert "not ready: S3 cannot be reached" in caplog.text
    uploads.is_down = False
    assert client.get("/ready").json() == {"status": "ready"}


def test_liveness_ends_when_the_cache_is_no_longer_kept_up(client: Caller, store: FakeStore) -> None:
    store.is_following = False
    assert client.get("/health").status_code == 503


def test_metrics_name_routes_and_no_ids(uploads: FakeUploads) -> None:
    with TestClient(build_app(some_settings(), FakeStore(a_row("some-id")), uploads)) as client:
        client.get(f"{BASE}/status/some-id")
        client.get("/nowhere/some-id")
        text = client.get("/metrics").text
    assert 'route="/api/upload-video/status/{job_id}",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"} 1.0' in text
    assert "transcription_api_cache_age_seconds 1.5" in text
    assert "some-id" not in text


def test_openapi_is_published_and_names_every_operation(client: Caller) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = {o["operationId"] for path in document["paths"].values() for o in path.values()}
    assert operations >= {
        "generateUrl",
        "requestProcess",
        "processVideo",
        "getStatus",
        "listJobs",
        "cancelJob",
        "getResult",
        "watchJob",
        "getTranscript",
        "retryJob",
        "redeliverCallback",
        "deleteJob",
        "createTranscription",
        "listModels",
    }
    assert "Problem" in document["components"]["schemas"]


def test_browsers_may_read_location(client: Caller) -> None:
    answer = client.post(
        f"{BASE}/process-video",
        json={"job_id": "a", "video_url": VIDEO_URL},
        headers={"origin": "https://front.example"},
    )
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Location" in answer.headers["access-control-expose-headers"]


def test_case_33_other_origins_get_no_cors_header(store: FakeStore, uploads: FakeUploads) -> None:
    app = build_app(some_settings(cors_origins="https://a.example, https://b.example"), store, uploads)
    with TestClient(app) as client:
        given = client.get(f"{BASE}/jobs", headers={"origin": "https://b.example"}).headers
        refused = client.get(f"{BASE}/jobs", headers={"origin": "https://c.example"}).headers
    assert given["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-origin" not in refused
