"""Two API pods behind one Service: one dies in the middle of submits, and clients that send again find one job."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.support.kubectl import Kubectl
from tests.support.processes import kill_processes
from tests.support.service import PREFIX
from tests.support.transcriptions import TJ, Transcriptions
from tests.support.waiting import wait_for

API_URL = "http://127.0.0.1:8080"
CLIENTS = 12
AT_LEAST = 48
AT_MOST = 600


class Submitter:
    """Sends wishes one after the other on one connection, each again until it is answered with 202."""

    def __init__(self, video_url: str) -> None:
        self._video_url = video_url
        self.wishes = 0
        self.ids: list[str] = []
        self.broken = 0

    def submit_until(self, is_over: Callable[[], bool]) -> None:
        with httpx2.Client(base_url=API_URL, timeout=10) as http:
            while not is_over():
                self.wishes += 1
                send = partial(self._send, http, str(uuid.uuid4()), is_named=self.wishes % 2 == 0)
                self.ids.append(wait_for(send, 60, "it is accepted", 0.05))

    def _send(self, http: httpx2.Client, token: str, *, is_named: bool) -> str | None:
        asked = {"video_url": self._video_url} | ({"job_id": token} if is_named else {})
        headers = {} if is_named else {"Idempotency-Key": token}
        path = "process-video" if is_named else "request-process"
        try:
            answer = http.post(f"{PREFIX}/{path}", json=asked, headers=headers)
        except httpx2.TransportError:
            self.broken += 1
            return None
        assert answer.status_code in (202, 503), answer.text
        return str(answer.json()["job_id"]) if answer.status_code == 202 else None


def find_state(name: str) -> str | None:
    """By a connection of its own; None while that ends at the dead pod."""
    try:
        answer = httpx2.get(f"{API_URL}{PREFIX}/status/{name}", timeout=10)
    except httpx2.TransportError:
        return None
    return str(answer.json()["state"]) if answer.is_success else None


@pytest.fixture
def api_pods(kubectl: Kubectl) -> set[str]:
    kubectl.run("rollout", "status", "deployment/transcription-api", "--timeout=60s")
    pods = kubectl.pods_of("transcription-api")
    assert len(pods) == 2
    return pods


def test_one_job_is_found_when_an_api_pod_dies_in_the_middle_of_a_submit(
    transcriptions: Transcriptions,
    api_pods: set[str],
    text_file: Path,
    without_controller: Callable[[], AbstractContextManager[None]],
) -> None:
    kubectl, service = transcriptions.kubectl, transcriptions.service
    submitters = [Submitter(service.upload(text_file)["video_url"]) for _ in range(CLIENTS)]
    killed = threading.Event()

    def is_over() -> bool:
        return (killed.is_set() and any(s.broken for s in submitters)) or sum(s.wishes for s in submitters) >= AT_MOST

    with without_controller(), ThreadPoolExecutor(CLIENTS) as threads:
        runs = [threads.submit(s.submit_until, is_over) for s in submitters]
        wait_for(lambda: sum(len(s.ids) for s in submitters) >= AT_LEAST, 60, "requests flow")
        kill_processes(f"HOSTNAME={min(api_pods)}")
        killed.set()
        for run in runs:
            run.result(120)
        ids = [name for s in submitters for name in s.ids]
        keys = set(service.keys)
        made = [tj["metadata"]["name"] for tj in kubectl.list(TJ) if tj["spec"]["source"]["key"] in keys]
        states = {wait_for(partial(find_state, name), 60, "its state is shown", 0.05) for name in ids}
        kubectl.delete(TJ, *made)
    kubectl.run("rollout", "status", "deployment/transcription-api", "--timeout=120s", timeout_seconds=150)
    assert sum(s.broken for s in submitters) > 0, "no request was under way at the dead pod"
    assert sorted(made) == sorted(ids)
    assert len(ids) == sum(s.wishes for s in submitters)
    assert states == {"Pending"}
