"""The front end's journey, in both dialects and both ways to start, against the real thing."""

import re
import uuid
from collections.abc import Callable

import pytest

from crds.transcriptionjob import FORMATS
from tests.support.kubectl import Kubectl
from tests.support.service import Dialect, Service
from tests.support.speech import Speech
from tests.support.transcriptions import Run, Transcriptions
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

ACCEPTED = "비디오 처리가 시작되었습니다"
NOT_FOUND = "해당 작업을 찾을 수 없습니다"


@pytest.mark.parametrize(("dialect", "filename"), [("content_type", "sample.mp4"), ("filetype", "회의 녹화 #1.mp4")])
def test_the_words_come_back_when_the_server_picks_the_id(
    service: Service, clip: Speech, dialect: Dialect, filename: str
) -> None:
    ticket = service.upload(clip.mp4, filename, dialect)
    assert ticket["url"] == ticket["upload_url"]
    assert re.fullmatch(r"videos/anonymous/\d{8}_\d{6}_[0-9a-f]{8}_[\w.-]+\.mp4", ticket["fileKey"])
    job_id = service.request_process(ticket["video_url"])
    assert service.wait_until_final(job_id, 90)[-1]["status"] == "completed"
    result = service.result(job_id)
    assert_same_words(clip.text, result["text"])
    assert_same_words(clip.text, " ".join(segment["text"] for segment in result["segments"]))
    assert result["language"] == "en"


@pytest.mark.parametrize("dialect", ["content_type", "filetype"])
def test_the_words_come_back_when_the_client_picks_the_id(service: Service, clip: Speech, dialect: Dialect) -> None:
    job_id = str(uuid.uuid4())
    answer = service.process_video(job_id, service.upload(clip.mp4, dialect=dialect)["video_url"])
    assert answer == answer | {
        "job_id": job_id,
        "status": "processing",
        "message": ACCEPTED,
        "status_url": f"/api/upload-video/status/{job_id}",
    }
    assert service.wait_until_final(job_id, 90)[-1]["status"] == "completed"
    assert_same_words(clip.text, service.result(job_id)["text"])


def test_status_tells_how_far_it_is_while_it_runs(good_run: Run) -> None:
    running = [answer for answer in good_run.answers if answer["status"] == "processing"]
    percents = [answer["progress"] for answer in running]
    assert percents == sorted(percents)
    assert percents[0] == 0
    assert any(0 < percent < 100 for percent in percents)
    assert {answer["stage"] for answer in running if answer["progress"] == 100} <= {"delivering"}, (
        "100 before it is stored"
    )
    assert "transcribing" in [answer.get("stage") for answer in running]


def test_the_result_is_whispers_own_json(good_run: Run, talk: Speech) -> None:
    result = good_run.transcriptions.service.result(good_run.name)
    assert result.keys() >= {"text", "segments", "language"}
    assert {"id", "start", "end", "text"} <= result["segments"][0].keys()
    assert result["segments"][-1]["end"] <= talk.seconds + 1
    assert_same_words(talk.text, result["text"], tolerance=0.01)


def test_all_five_formats_are_stored(good_run: Run, talk: Speech) -> None:
    result = good_run.end.status.result
    assert result is not None
    assert set(result.formats) == set(FORMATS)
    outputs = {form: good_run.transcriptions.output(good_run.name, form).decode() for form in FORMATS}
    assert_same_words(talk.text, outputs["txt"], tolerance=0.01)
    assert outputs["vtt"].startswith("WEBVTT\n")
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n\S", outputs["srt"])
    assert outputs["tsv"].startswith("start\tend\ttext\n")
    assert outputs["json"].startswith("{")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
def test_it_answers_without_a_prefix(service: Service, path: str) -> None:
    assert service.is_well(path)


def test_it_is_in_the_list_of_jobs(good_run: Run) -> None:
    jobs = {job["job_id"]: job for job in good_run.transcriptions.service.ask("GET", "/jobs")["jobs"]}
    assert jobs[good_run.name]["status"] == "completed"


@pytest.mark.parametrize("path", ["/status/{}", "/result/{}"])
@pytest.mark.parametrize("job_id", ["never-heard-of", "999999", "0b6e4a56-7f0c-4d0e-9a51-3c1d2e4f5a6b"])
def test_it_is_not_found_when_the_id_is_unknown(service: Service, path: str, job_id: str) -> None:
    answer = service.call("GET", path.format(job_id))
    assert answer.status_code == 404
    assert answer.json()["message"] == NOT_FOUND


def test_the_same_job_is_found_when_the_api_was_killed(
    transcriptions: Transcriptions, kubectl: Kubectl, clip: Speech, kill_pods_of: Callable[[str], None]
) -> None:
    service = transcriptions.service
    video_url = service.upload(clip.mp4)["video_url"]
    job_id = str(uuid.uuid4())
    service.process_video(job_id, video_url)
    before = transcriptions.read(job_id)
    kill_pods_of("api")
    kubectl.run("rollout", "status", "deployment/transcription-api", "--timeout=60s")
    again = wait_for(lambda: service.retry_process_video(job_id, video_url), 60, "the API is back")
    assert again["job_id"] == job_id
    assert transcriptions.read(job_id).uid == before.uid
    assert service.wait_until_final(job_id, 90)[-1]["status"] == "completed"
    assert_same_words(clip.text, service.result(job_id)["text"])
    assert len(transcriptions.pods(job_id)) == 1
