"""What people see and do with kubectl alone."""

import pytest

from crds.transcriptionjob import ConditionType, State
from tests.support.receiver import Receiver
from tests.support.speech import Speech
from tests.support.transcriptions import TJ, Run, Transcriptions, an_id, is_transcribing, status_of
from tests.support.words import assert_same_words


@pytest.mark.parametrize("resource", ["transcriptionjobs", "tj"])
def test_get_shows_state_progress_stage_and_age(good_run: Run, resource: str) -> None:
    header, row = good_run.transcriptions.kubectl.run("get", resource, good_run.name).splitlines()
    assert header.split() == ["NAME", "STATE", "PROGRESS", "STAGE", "AGE"]
    assert row.split()[:3] == [good_run.name, "Succeeded", "100"]


def test_wide_get_shows_the_reason_when_it_failed(bad_run: Run) -> None:
    header, row = bad_run.transcriptions.kubectl.run("get", "tj", bad_run.name, "--output", "wide").splitlines()
    assert header.split() == [
        "NAME",
        "STATE",
        "PROGRESS",
        "STAGE",
        "MODEL",
        "LANGUAGE",
        "AUDIO",
        "ATTEMPT",
        "REASON",
        "AGE",
    ]
    assert {"Failed", "UnsupportedMedia"} <= set(row.split())


def test_wait_for_finished_returns_when_the_video_was_good(good_run: Run) -> None:
    good_run.transcriptions.kubectl.wait(f"{TJ}/{good_run.name}", "condition=Finished", 5)
    good_run.transcriptions.kubectl.wait(f"{TJ}/{good_run.name}", "condition=Succeeded", 5)


def test_wait_for_finished_returns_when_the_video_was_bad(bad_run: Run) -> None:
    bad_run.transcriptions.kubectl.wait(f"{TJ}/{bad_run.name}", "condition=Finished", 5)
    bad_run.transcriptions.kubectl.wait(f"{TJ}/{bad_run.name}", "condition=Succeeded=False", 5)


def test_progress_never_falls_while_it_runs(good_run: Run) -> None:
    progress = [status.progress for status in map(status_of, good_run.states) if status.progress is not None]
    percents = [p.percent for p in progress if p.percent is not None]
    done = [p.processed_seconds for p in progress if p.processed_seconds is not None]
    assert percents == sorted(percents)
    assert done == sorted(done)
    assert len({percent for percent in percents if 0 < percent < 100}) >= 2
    assert percents[-1] == 100


def test_progress_is_100_only_when_the_result_is_stored(good_run: Run) -> None:
    for status in map(status_of, good_run.states):
        if status.progress is not None and status.progress.percent == 100:
            assert status.result is not None


def test_one_job_and_one_pod_are_made_when_nothing_disturbs_it(good_run: Run) -> None:
    made = good_run.transcriptions
    job = made.job(good_run.name)
    assert job is not None
    assert job["status"]["succeeded"] == 1
    assert job["status"].get("failed", 0) == 0
    assert len(made.pods(good_run.name)) == 1
    assert good_run.end.status.attempt == 1
    assert {s.progress.pod_uid for s in map(status_of, good_run.states) if s.progress is not None} == {
        made.pods(good_run.name)[0]["metadata"]["uid"]
    }


def test_it_starts_and_ends_once_when_nothing_disturbs_it(good_run: Run) -> None:
    states = [status.state for status in map(status_of, good_run.states) if status.state is not None]
    order = [State.PENDING, State.QUEUED, State.STARTING, State.RUNNING, State.SUCCEEDED]
    assert [order.index(state) for state in states] == sorted(order.index(state) for state in states)
    finished = good_run.end.status.condition(ConditionType.FINISHED)
    assert finished is not None
    assert finished.status == "True"
    assert good_run.end.status.completion_time is not None


def test_the_resource_stays_small(good_run: Run) -> None:
    assert len(good_run.transcriptions.kubectl.run("get", "tj", good_run.name, "--output", "json")) < 16 * 1024


def test_the_words_are_stored_when_the_resource_was_made_without_rest(
    transcriptions: Transcriptions, clip: Speech, host_address: str
) -> None:
    name = an_id("by-hand")
    with Receiver(host_address) as receiver:
        receiver.open()
        key = transcriptions.store(clip.mp3, "회의 #1 100%.mp3")
        transcriptions.create(name, key, language="en", formats=["txt", "json"], callback={"url": receiver.url})
        end = transcriptions.wait_until_finished(name, 90)
        receiver.next(30)
    assert end.status.state is State.SUCCEEDED, end.status.message
    assert end.status.result is not None
    assert set(end.status.result.formats) == {"txt", "json"}
    assert_same_words(clip.text, transcriptions.output(name, "txt").decode())


def test_job_and_pods_go_when_the_resource_is_deleted(transcriptions: Transcriptions, lecture: Speech) -> None:
    name = an_id("deleted")
    with transcriptions.watch(name) as watch:
        transcriptions.create(name, transcriptions.store(lecture.mp3, "lecture.mp3"), engine="quality")
        watch.until(is_transcribing(0), 60, "it is transcribed")
    pod = transcriptions.pods(name)[0]["metadata"]["name"]
    transcriptions.kubectl.delete(TJ, name)
    transcriptions.kubectl.wait(f"pod/{pod}", "delete", 60)
    assert transcriptions.job(name) is None
    assert transcriptions.pods(name) == []
