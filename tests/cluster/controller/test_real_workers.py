"""What only a real worker shows: it ends in time, and the words are right after it was stopped in the middle."""

import json
from datetime import UTC, datetime, timedelta

from controller.job_builder import GRACE_SECONDS
from crds.transcriptionjob import State
from tests.support.speech import Speech
from tests.support.transcriptions import TJ, Transcriptions, an_id, is_final, is_transcribing, status_of
from tests.support.words import assert_same_words

KUBELETS_SHARE = timedelta(seconds=10)
"""What the kubelet takes to stop the sandbox, on a machine that is busy."""


def test_cancelling_frees_the_pod_within_its_grace_period(transcriptions: Transcriptions, lecture: Speech) -> None:
    name = an_id("freed")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, lecture.mp3, engine="quality")
        watch.until(is_transcribing(1), 90, "it is transcribed")
    pod = transcriptions.pods(name)[0]["metadata"]["name"]
    cancelled = datetime.now(UTC)
    transcriptions.kubectl.patch(TJ, name, {"spec": {"cancel": True}})
    transcriptions.kubectl.wait(f"pod/{pod}", "delete", 60)
    assert datetime.now(UTC) - cancelled < timedelta(seconds=GRACE_SECONDS) + KUBELETS_SHARE
    end = transcriptions.wait_until_finished(name, 10).status
    assert (end.state, end.result) == (State.CANCELLED, None)


def test_the_words_are_right_when_it_was_suspended_and_resumed(transcriptions: Transcriptions, talk: Speech) -> None:
    name = an_id("rested")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, talk.mp3, engine="quality")
        watch.until(is_transcribing(1), 90, "it is transcribed")
        transcriptions.kubectl.patch(TJ, name, {"spec": {"suspend": True}})
        watch.until(lambda seen: status_of(seen).state is State.SUSPENDED, 20, "it is suspended")
        pod = transcriptions.pods(name)
        for ending in pod:
            transcriptions.kubectl.wait(f"pod/{ending['metadata']['name']}", "delete", 60)
        assert transcriptions.job(name) is None
        assert transcriptions.read(name).status.state is State.SUSPENDED
        transcriptions.kubectl.patch(TJ, name, {"spec": {"suspend": False}})
        end = status_of(watch.until(is_final, 180, "it is final"))
    assert (end.state, end.attempt, end.tries) == (State.SUCCEEDED, 2, 1)
    assert len({s.progress.pod_uid for s in map(status_of, watch.seen) if s.progress is not None}) == 2
    assert_same_words(talk.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)


def test_the_words_are_right_when_it_was_evicted_while_it_transcribed(
    transcriptions: Transcriptions, talk: Speech
) -> None:
    name = an_id("evicted")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, talk.mp3, engine="quality")
        watch.until(is_transcribing(1), 90, "it is transcribed")
        pod = transcriptions.pods(name)[0]["metadata"]["name"]
        evict(transcriptions, pod)
        end = status_of(watch.until(is_final, 180, "it is final"))
    assert (end.state, end.attempt, end.tries, end.replacements) == (State.SUCCEEDED, 1, 1, 1)
    job = transcriptions.job(name)
    assert job is not None
    assert job["status"].get("failed", 0) == 0
    assert_same_words(talk.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)


def evict(transcriptions: Transcriptions, pod: str) -> None:
    """As `kubectl drain` does."""
    path = f"/api/v1/namespaces/{transcriptions.kubectl.namespace}/pods/{pod}/eviction"
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})
    transcriptions.kubectl.run("create", "--raw", path, "--filename", "-", stdin=body)
