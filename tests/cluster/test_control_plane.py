"""F24 and F36 for real: the API server or etcd dies while a transcription is at work. Run after all others."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crds.transcriptionjob import State, Transcription
from tests.support.kubectl import Kubectl
from tests.support.processes import kill_program
from tests.support.speech import Speech
from tests.support.transcriptions import Transcriptions, an_id, is_transcribing
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

pytestmark = pytest.mark.last
LONGEST_BACKOFF_SECONDS = 300
"""So long the kubelet may wait before it starts the API server again, when it was killed some times in a row."""


@pytest.fixture(autouse=True)
def _recovered(kubectl: Kubectl) -> Iterator[None]:
    """Leaves no test a control plane that is still coming back."""
    yield
    wait_for(lambda: is_whole(kubectl), LONGEST_BACKOFF_SECONDS, "the control plane is back")


def is_whole(kubectl: Kubectl) -> bool:
    """Whether the API server is ready, and each pod of the control plane and of the release with it."""
    try:
        kubectl.run("get", "--raw", "/readyz")
        pods = [
            pod for place in ("kube-system", kubectl.namespace) for pod in replace(kubectl, namespace=place).list("pod")
        ]
    except AssertionError:
        return False
    lasting = [pod for pod in pods if pod["status"]["phase"] not in {"Succeeded", "Failed"}]
    return all(is_ready(pod) for pod in lasting)


def is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def read_if_possible(transcriptions: Transcriptions, name: str) -> Transcription | None:
    """None while the API server does not answer."""
    try:
        return transcriptions.read(name)
    except AssertionError:
        return None


@pytest.mark.parametrize("program", ["kube-apiserver", "etcd"])
def test_f24_f36_it_completes_once_when_the_control_plane_dies_under_it(
    transcriptions: Transcriptions, lecture: Speech, program: str
) -> None:
    addresses = transcriptions.kubectl.list("node")[0]["status"]["addresses"]
    node = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    name = an_id("headless")
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, lecture.mp3, engine="quality")
        watch.until(is_transcribing(5), 90, "it is transcribed")
        kill_program(program, node)

    def is_over() -> Transcription | None:
        found = read_if_possible(transcriptions, name)
        return found if found and found.status.state and found.status.state.is_final else None

    end = wait_for(is_over, LONGEST_BACKOFF_SECONDS + 60, "it is final").status
    assert end.state is State.SUCCEEDED, end.message
    assert end.attempt == 1
    wait_for(lambda: transcriptions.job(name), 30, "its Job is shown")
    assert_same_words(lecture.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)
