"""Every part may die while a transcription runs: it completes, and with the right words."""

import json
import random
from collections.abc import Callable

import pytest

from crds.transcriptionjob import State
from tests.support.kubectl import Manifest
from tests.support.processes import kill_processes
from tests.support.speech import Speech, speak
from tests.support.transcriptions import Transcriptions, an_id, is_final, is_transcribing, status_of
from tests.support.words import assert_same_words

Kill = Callable[[Transcriptions, Manifest], None]


def lose_the_pod(transcriptions: Transcriptions, pod: Manifest) -> None:
    """The pod is gone from one moment to the next, as with its node."""
    transcriptions.kubectl.delete("pod", pod["metadata"]["name"], force=True)


def delete_the_pod(transcriptions: Transcriptions, pod: Manifest) -> None:
    """The pod gets SIGTERM and its grace period, as when a node is drained."""
    transcriptions.kubectl.delete("pod", pod["metadata"]["name"])


def kill_the_process(_: Transcriptions, pod: Manifest) -> None:
    """SIGKILL from the node, as by the kernel when memory is short."""
    kill_processes(f"WORKER_POD_UID={pod['metadata']['uid']}")


@pytest.mark.parametrize("kill", [lose_the_pod, delete_the_pod, kill_the_process])
def test_it_completes_when_its_worker_is_killed_while_it_transcribes(
    transcriptions: Transcriptions, lecture: Speech, kill: Kill
) -> None:
    name = an_id("killed")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, lecture.mp3, engine="quality")
        watch.until(is_transcribing(10), 60, "it is transcribed")
        kill(transcriptions, transcriptions.pods(name)[0])
        end = status_of(watch.until(is_final, 150, "it is final"))
    assert end.state is State.SUCCEEDED, end.message
    progress = [status.progress for status in map(status_of, watch.seen) if status.progress is not None]
    percents = [p.percent for p in progress if p.percent is not None]
    assert len({p.pod_uid for p in progress}) == 2, "the worker was not killed in time"
    assert percents == sorted(percents)
    assert_same_words(lecture.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)


@pytest.fixture(scope="module")
def half_an_hour(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Speech:
    return speak(seed + 3, 1800, tmp_path_factory.mktemp("speech") / "half-an-hour.wav")


@pytest.mark.soak
def test_the_text_is_that_of_an_undisturbed_run_when_five_workers_are_killed_in_half_an_hour_of_speech(
    transcriptions: Transcriptions, half_an_hour: Speech, seed: int
) -> None:
    draw = random.Random(seed)
    points = sorted(draw.sample(range(5, 80), 5))
    undisturbed, name = an_id("undisturbed"), an_id("killed5")
    transcriptions.start(undisturbed, half_an_hour.mp3, engine="quality")
    killed: set[str] = set()
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, half_an_hour.mp3, engine="quality")
        for point in points:
            status = status_of(watch.until(is_transcribing_elsewhere(point, killed), 400, f"it is at {point} %"))
            assert status.progress is not None
            killed.add(status.progress.pod_uid)
            [pod] = [p for p in transcriptions.pods(name) if p["metadata"]["uid"] == status.progress.pod_uid]
            draw.choice([lose_the_pod, delete_the_pod, kill_the_process])(transcriptions, pod)
        end = status_of(watch.until(is_final, 400, "it is final"))
    assert end.state is State.SUCCEEDED, end.message
    assert len(killed) == len(points)
    transcriptions.wait_until_finished(undisturbed, 400)
    assert_same_words(half_an_hour.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)
    assert transcriptions.output(name, "srt") == transcriptions.output(undisturbed, "srt")
    figures = json.loads(transcriptions.output(name, "json"))["figures"]
    assert figures["resumed_seconds"] > 0


@pytest.mark.soak
def test_the_words_are_right_when_half_an_hour_is_transcribed_as_by_default(
    transcriptions: Transcriptions, half_an_hour: Speech
) -> None:
    name = transcriptions.start(an_id("long"), half_an_hour.mp4)
    assert transcriptions.wait_until_finished(name, 300).status.state is State.SUCCEEDED
    assert_same_words(half_an_hour.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)


def is_transcribing_elsewhere(at_least_percent: int, killed: set[str]) -> Callable[[Manifest], bool]:
    """Whether a pod that was not killed yet has come so far."""
    is_far = is_transcribing(at_least_percent)

    def look(manifest: Manifest) -> bool:
        progress = status_of(manifest).progress
        return is_far(manifest) and progress is not None and progress.pod_uid not in killed

    return look


def test_it_completes_in_one_pod_when_the_controller_is_killed_in_the_middle(
    transcriptions: Transcriptions, lecture: Speech, kill_pods_of: Callable[[str], None]
) -> None:
    name = an_id("orphan")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, lecture.mp3, engine="quality")
        watch.until(is_transcribing(1), 60, "it is transcribed")
        kill_pods_of("controller")
        end = status_of(watch.until(is_final, 120, "it is final"))
    assert end.state is State.SUCCEEDED, end.message
    assert len(transcriptions.pods(name)) == 1
    assert_same_words(lecture.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)


def test_it_completes_in_one_pod_when_the_controller_is_killed_before_it_starts(
    transcriptions: Transcriptions, clip: Speech, kill_pods_of: Callable[[str], None]
) -> None:
    name = an_id("unseen")
    transcriptions.start(name, clip.mp4)
    kill_pods_of("controller")
    end = transcriptions.wait_until_finished(name, 120)
    assert end.status.state is State.SUCCEEDED, end.status.message
    assert len(transcriptions.pods(name)) == 1
    assert_same_words(clip.text, transcriptions.output(name, "txt").decode())
