"""Bad input fails once with its reason; cancelling stops the worker."""

from crds.reasons import REASONS, Reason
from crds.transcriptionjob import State
from tests.support.service import Service
from tests.support.speech import Speech
from tests.support.transcriptions import Run, Transcriptions, an_id, is_transcribing
from tests.support.waiting import wait_for


def test_it_fails_with_its_reason_when_a_text_is_named_mp4(bad_run: Run) -> None:
    info = REASONS[Reason.UNSUPPORTED_MEDIA]
    assert bad_run.end.status.state is State.FAILED
    assert bad_run.end.status.failure is not None
    assert bad_run.end.status.failure.reason == Reason.UNSUPPORTED_MEDIA
    assert bad_run.end.status.failure.exit_code == info.exit_code
    answer = bad_run.answers[-1]
    assert answer["status"] == "failed"
    assert answer["error"]["code"] == "UnsupportedMedia"
    assert answer["error"]["retryable"] is False
    assert answer["error"]["message"]


def test_it_fails_after_one_pod_when_a_text_is_named_mp4(bad_run: Run) -> None:
    made = bad_run.transcriptions
    assert bad_run.end.status.attempt == 1
    assert len(made.pods(bad_run.name)) == 1
    job = made.job(bad_run.name)
    assert job is not None
    assert [c["reason"] for c in job["status"]["conditions"] if c["type"] == "Failed"] == ["PodFailurePolicy"]


def test_there_is_no_transcript_when_it_failed(bad_run: Run) -> None:
    made = bad_run.transcriptions
    assert made.service.call("GET", f"/result/{bad_run.name}").status_code == 409
    assert made.bucket.list(f"transcripts/{made.kubectl.namespace}/{bad_run.name}/") == []


def test_it_fails_with_its_reason_when_the_file_is_gone(transcriptions: Transcriptions) -> None:
    name = an_id("gone")
    transcriptions.create(name, f"videos/anonymous/{name}.mp4")
    end = transcriptions.wait_until_finished(name, 60)
    assert end.status.failure is not None
    assert end.status.failure.reason == Reason.INPUT_NOT_FOUND
    assert len(transcriptions.pods(name)) == 1


def test_the_pod_goes_when_it_is_cancelled_while_it_runs(
    transcriptions: Transcriptions, service: Service, lecture: Speech
) -> None:
    name = an_id("cancelled")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, lecture.mp3, engine="quality")
        watch.until(is_transcribing(1), 60, "it is transcribed")
    pod = transcriptions.pods(name)[0]["metadata"]["name"]
    service.ask("POST", f"/jobs/{name}/cancel")
    transcriptions.kubectl.wait(f"pod/{pod}", "delete", 45)
    end = transcriptions.wait_until_finished(name, 30)
    assert end.status.state is State.CANCELLED
    assert end.status.result is None
    assert transcriptions.pods(name) == []
    wait_for(lambda: service.status(name)["status"] == "cancelled", 10, "REST says cancelled")
    assert service.call("GET", f"/result/{name}").status_code == 409


def test_it_never_runs_when_it_is_made_cancelled(transcriptions: Transcriptions, clip: Speech) -> None:
    name = an_id("never")
    transcriptions.create(name, transcriptions.store(clip.mp3, "clip.mp3"), cancel=True)
    end = transcriptions.wait_until_finished(name, 30)
    assert end.status.state is State.CANCELLED
    assert transcriptions.pods(name) == []
