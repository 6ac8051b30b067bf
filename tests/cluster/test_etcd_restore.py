"""F36 for real: the cluster is put back to a backup of its etcd. Run after all others."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from crds.transcriptionjob import CallbackState, State, Transcription
from crds.worker import build_job_name
from tests.cluster.conftest import RELEASE
from tests.support.control_plane import LONGEST_BACKOFF_SECONDS, is_whole
from tests.support.etcd import BUMP, Etcd, the_etcd
from tests.support.kubectl import Kubectl
from tests.support.receiver import Receiver
from tests.support.service import PREFIX, Document
from tests.support.speech import Speech
from tests.support.transcriptions import Transcriptions, an_id, is_transcribing
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.last, pytest.mark.soak]
EVERY_GPU = {"gpu": 2}


@pytest.fixture
def etcd(kubectl: Kubectl) -> Iterator[Etcd]:
    """Leaves no test a control plane that is still coming back."""
    with the_etcd() as made:
        yield made
    wait_for(lambda: is_whole(kubectl), LONGEST_BACKOFF_SECONDS, "the control plane is back")


@dataclass
class Inbox:
    """What one receiver was sent."""

    receiver: Receiver
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def read(self) -> dict[str, list[str]]:
        """The webhook-ids of every delivery, by transcription."""
        while self.receiver.waiting:
            delivery = self.receiver.next(1)
            self.ids[json.loads(delivery.body)["job_id"]].append(delivery.headers["webhook-id"])
        return self.ids


def is_settled(transcriptions: Transcriptions, name: str) -> Callable[[], Transcription | None]:
    """Whether it has ended, and its receiver knows; not so while the API server does not answer."""

    def look() -> Transcription | None:
        try:
            found = transcriptions.read(name)
        except AssertionError:
            return None
        return found if found.status.settled else None

    return look


def is_waiting_for_a_gpu(transcriptions: Transcriptions, name: str) -> bool:
    return [pod["status"]["phase"] for pod in transcriptions.pods(name)] == ["Pending"]


def ask_replica(kubectl: Kubectl, pod: str, name: str) -> Document | None:
    """What one replica of the API says of a job; None when it knows none of that name."""
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}:8080/proxy{PREFIX}/status/{name}"
    try:
        document: Document = json.loads(kubectl.run("get", "--raw", path))
    except AssertionError as error:
        assert "NotFound" in str(error), error
        return None
    return document


@pytest.mark.parametrize("options", [BUMP, ()], ids=["bumped", "plain"])
def test_f36_results_are_adopted_and_told_once_when_the_cluster_is_put_back_to_a_backup(
    transcriptions: Transcriptions,
    etcd: Etcd,
    clip: Speech,
    talk: Speech,
    host_address: str,
    options: tuple[str, ...],
) -> None:
    """By then two have ended that the backup knows at work and in line, and one was asked for that it does not know."""
    kubectl, bucket = transcriptions.kubectl, transcriptions.bucket
    over, running, queued, lost = (an_id(purpose) for purpose in ("over", "running", "queued", "lost"))
    redone = (running, queued)
    media = transcriptions.store(talk.mp4, "talk.mp4")
    video_url = transcriptions.service.upload(clip.mp4)["video_url"]
    with Receiver(host_address) as receiver:
        receiver.open()
        inbox, callback = Inbox(receiver), {"url": receiver.url}
        transcriptions.create(over, transcriptions.store(clip.mp4, "clip.mp4"), callback=callback)
        wait_for(is_settled(transcriptions, over), 120, "one is over and told")
        with transcriptions.watch(running) as watch:
            transcriptions.create(running, media, callback=callback, resources=EVERY_GPU)
            watch.until(is_transcribing(5), 90, "one is at work")
        transcriptions.create(queued, media, callback=callback)
        wait_for(lambda: is_waiting_for_a_gpu(transcriptions, queued), 60, "one is in line")

        etcd.back_up()
        transcriptions.service.process_video(lost, video_url)
        before = {name: wait_for(is_settled(transcriptions, name), 180, f"{name} is told") for name in redone}
        wait_for(lambda: transcriptions.read(lost).status.settled, 120, "the new one is over")
        stored = {name: transcriptions.output(name, "json") for name in redone}
        kubectl.delete("job", build_job_name(queued, 1))  # as its TTL does within ten minutes

        etcd.roll_back(*options)
        wait_for(lambda: is_whole(kubectl), LONGEST_BACKOFF_SECONDS, "the control plane is back")
        for pod in kubectl.pods_of(f"{RELEASE}-api"):
            wait_for(lambda pod=pod: ask_replica(kubectl, pod, lost) is None, 90, "the API forgets what is lost")
        transcriptions.service.process_video(lost, video_url)
        for name in redone:
            after = wait_for(is_settled(transcriptions, name), 120, f"{name} has ended again").status
            assert after.state is State.SUCCEEDED, after.message
            assert after.attempt == 1
            assert after.result == before[name].status.result
            assert after.callback is not None
            assert after.callback.state is CallbackState.DELIVERED
            assert bucket.read(after.result.key) == stored[name], "it was computed again"
        again = wait_for(is_settled(transcriptions, lost), 120, "what was lost is asked for again, and ends").status
        assert again.state is State.SUCCEEDED, again.message
        for pod in kubectl.pods_of(f"{RELEASE}-api"):
            wait_for(lambda pod=pod: is_completed(ask_replica(kubectl, pod, lost)), 90, "the API follows")
        assert "transcript found" in kubectl.run("logs", f"job/{build_job_name(queued, 1)}")
        ids = inbox.read()
    assert transcriptions.read(over).status.settled
    assert len(ids[over]) == 1, "one that the backup knows as told was told again"
    assert {name: set(ids[name]) for name in redone} == {name: {record_id(before[name])} for name in redone}
    assert [job_name for name in redone for job_name in jobs_of(kubectl, name)] == [f"{name}-1" for name in redone]


def is_completed(document: Document | None) -> bool:
    return document is not None and document["status"] == "completed"


def record_id(transcription: Transcription) -> str:
    assert transcription.status.callback is not None
    return transcription.status.callback.id


def jobs_of(kubectl: Kubectl, name: str) -> list[str]:
    """The Jobs that one transcription owns."""
    owners = {job["metadata"]["name"]: job["metadata"]["ownerReferences"][0]["name"] for job in kubectl.list("job")}
    return sorted(job for job, owner in owners.items() if owner == name)
