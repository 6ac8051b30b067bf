"""The examples do what they say: people copy them."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from crds.transcriptionjob import State
from tests.support.speech import ROOT, SAMPLE, Speech
from tests.support.transcriptions import Transcriptions, an_id
from tests.support.words import assert_same_words, words_of

EXAMPLES = ROOT / "examples"


def journey(made: Transcriptions, *words: str | Path, api: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the script; the job it speaks of is deleted with the test's own."""
    env = {name: value for name, value in os.environ.items() if name != "API"} | ({"API": api} if api else {})
    done = subprocess.run(
        [EXAMPLES / "journey.sh", *words], env=env, capture_output=True, text=True, check=False, timeout=150
    )
    made.service.ids += re.findall(r"^job (\S+)$", done.stderr, re.MULTILINE)
    return done


def test_journey_prints_the_words_of_the_video_that_make_video_made(
    transcriptions: Transcriptions, tmp_path: Path
) -> None:
    video = tmp_path / "a talk.mp4"
    subprocess.run([EXAMPLES / "make-video.sh", video], check=True)
    done = journey(transcriptions, video)
    assert done.returncode == 0, done.stderr
    assert words_of(done.stdout) == words_of(SAMPLE.with_suffix(".txt").read_text())
    assert "uploading" in done.stderr


def test_journey_prints_the_words_when_it_picks_the_id(transcriptions: Transcriptions, clip: Speech) -> None:
    job_id = an_id("journey")
    done = journey(transcriptions, f"--client-id={job_id}", clip.mp4)
    assert done.returncode == 0, done.stderr
    assert_same_words(clip.text, done.stdout)
    assert transcriptions.read(job_id).status.state is State.SUCCEEDED


def test_journey_says_why_when_the_job_fails(transcriptions: Transcriptions, text_file: Path) -> None:
    done = journey(transcriptions, "--client-id", text_file)
    assert done.returncode == 1
    assert done.stdout == ""
    error = transcriptions.service.status(transcriptions.service.ids[0])["error"]
    assert f"the job ended as failed: {error['message']}" in done.stderr


def test_journey_says_why_when_the_request_is_refused(transcriptions: Transcriptions, clip: Speech) -> None:
    done = journey(transcriptions, "--client-id=Not_An_Id", clip.mp3)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(r"POST /process-video was refused: .*job_id", done.stderr)


@pytest.mark.parametrize("api", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_journey_says_so_when_no_api_answers(transcriptions: Transcriptions, clip: Speech, api: str) -> None:
    done = journey(transcriptions, clip.mp3, api=api)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"no API answers at {api}" in done.stderr


def test_the_manifest_runs_when_its_video_is_there(transcriptions: Transcriptions, clip: Speech) -> None:
    manifest = yaml.safe_load((EXAMPLES / "transcriptionjob.yaml").read_text())
    assert manifest["spec"]["source"]["bucket"] == transcriptions.bucket.name
    name = an_id(manifest["metadata"]["name"])
    manifest["metadata"]["name"] = name
    manifest["spec"]["source"]["key"] = transcriptions.store(clip.mp4, "meeting.mp4")
    transcriptions.names.append(name)
    transcriptions.kubectl.create(manifest)
    end = transcriptions.wait_until_finished(name, 90)
    assert end.status.state is State.SUCCEEDED, end.status.message
    assert_same_words(clip.text, transcriptions.output(name, "txt").decode())
