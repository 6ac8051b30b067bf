"""F36 for real: the cluster is put back to a backup of its etcd. Run after all others."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from crds.transcriptionjob import CallbackState, State, Transcription
from crds.worker import build_job_name
from dev import cluster, versions
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
NO_GPU = {"gpu": 0}
A_SLICE = {"gpu": 1, "gpuResource": "nvidia.com/mig-1g.10gb"}
"""Of a GPU that the node does not have at first."""


@pytest.fixture
def etcd(kubectl: Kubectl) -> Iterator[Etcd]:
    """Leaves no test a control plane that is still coming back."""
    with the_etcd() as made:
        yield made
    wait_for(lambda: is_whole(kubectl), LONGEST_BACKOFF_SECONDS, "the control plane is back")
    cluster.advertise_gpus()
    advertise_slice(kubectl, 0)


@pytest.fixture
def inbox(host_address: str) -> Iterator["Inbox"]:
    with Receiver(host_address) as receiver:
        receiver.open()
        yield Inbox(receiver)


@dataclass
class Inbox:
    """What one receiver was sent."""

    receiver: Receiver
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def callback(self) -> dict[str, str]:
        return {"url": self.receiver.url}

    def read(self) -> dict[str, list[str]]:
        """The webhook-ids of every delivery, by transcription."""
        while self.receiver.waiting:
            delivery = self.receiver.next(1)
            self.ids[json.loads(delivery.body)["job_id"]].append(delivery.headers["webhook-id"])
        return self.ids


def wait_until_settled(made: Transcriptions, name: str) -> Transcription:
    """Once it has ended and its receiver knows; the API server may be away meanwhile."""

    def look() -> Transcription | None:
        try:
            found = made.read(name)
        except AssertionError:
            return None
        return found if found.status.settled else None

    return wait_for(look, 300, f"{name} is over and told")


def start_two(made: Transcriptions, media: Speech, later: Speech, callback: dict[str, str]) -> tuple[str, str]:
    """One at work, and one in line that waits for its slice."""
    running, queued = an_id("running"), an_id("queued")
    made.create(queued, made.store(later.mp4, "a.mp4"), callback=callback, resources=A_SLICE)
    with made.watch(running) as watch:
        made.create(running, made.store(media.mp3, "a.mp3"), callback=callback, resources=NO_GPU)
        watch.until(is_transcribing(1), 180, "one is at work")
    wait_for(lambda: [pod["status"]["phase"] for pod in made.pods(queued)] == ["Pending"], 60, "one is in line")
    return running, queued


def advertise_slice(kubectl: Kubectl, count: int) -> None:
    """As a device plugin does."""
    change = {"status": {"capacity": {A_SLICE["gpuResource"]: str(count)}}}
    kubectl.run("patch", "node", versions.NODE, "--subresource=status", "--type=merge", f"--patch={json.dumps(change)}")


def ask_replicas(kubectl: Kubectl, name: str) -> list[Document | None]:
    """What each replica of the API says of a job; None when it knows none of that name."""
    return [ask_replica(kubectl, pod, name) for pod in kubectl.pods_of(f"{RELEASE}-api")]


def ask_replica(kubectl: Kubectl, pod: str, name: str) -> Document | None:
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}:8080/proxy{PREFIX}/status/{name}"
    try:
        document: Document = json.loads(kubectl.run("get", "--raw", path))
    except AssertionError as error:
        assert "NotFound" in str(error), error
        return None
    return document


def is_not_computed_again(made: Transcriptions, name: str, rolled_back_at: datetime) -> bool:
    """Its pod found the transcript; or the kubelet still had that pod's container of before, and ran none again."""
    [pod] = made.pods(name)
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    if datetime.fromisoformat(ended["startedAt"]) < rolled_back_at:
        return True
    return "transcript found" in made.kubectl.run("logs", f"job/{build_job_name(name, 1)}")


def id_of(transcription: Transcription) -> str:
    record = transcription.status.callback
    assert record is not None
    assert record.state is CallbackState.DELIVERED
    return record.id


@pytest.mark.parametrize("options", [BUMP, ()], ids=["bumped", "plain"])
def test_f36_results_are_adopted_and_told_once_when_the_cluster_is_put_back_to_a_backup(
    transcriptions: Transcriptions,
    etcd: Etcd,
    inbox: Inbox,
    clip: Speech,
    talk: Speech,
    lecture: Speech,
    options: tuple[str, ...],
) -> None:
    """By then two have ended that the backup knows at work and in line, and one was asked for that it does not know."""
    kubectl, over, lost = transcriptions.kubectl, an_id("over"), an_id("lost")
    video_url = transcriptions.service.upload(clip.mp4)["video_url"]
    transcriptions.create(over, transcriptions.store(clip.mp4, "a.mp4"), callback=inbox.callback, resources=NO_GPU)
    wait_until_settled(transcriptions, over)
    names = start_two(transcriptions, lecture, talk, inbox.callback)
    etcd.back_up()
    assert transcriptions.read(names[0]).status.state is State.RUNNING, "it ended before the backup was taken"
    transcriptions.service.process_video(lost, video_url)
    advertise_slice(kubectl, 1)
    before = {name: wait_until_settled(transcriptions, name) for name in names}
    stored = {name: transcriptions.output(name, "json") for name in names}
    wait_until_settled(transcriptions, lost)
    kubectl.delete("job", build_job_name(names[1], 1))  # as its TTL does within ten minutes
    etcd.pass_versions(5_000)

    rolled_back_at = datetime.now(UTC)
    etcd.roll_back(*options)
    wait_for(lambda: is_whole(kubectl), LONGEST_BACKOFF_SECONDS, "the control plane is back")
    cluster.advertise_gpus()  # the kubelet forgets at its start what no device plugin tells it
    advertise_slice(kubectl, 1)
    wait_for(lambda: not any(ask_replicas(kubectl, lost)), 90, "the API forgets what is lost")
    wait_for(lambda: transcriptions.service.retry_process_video(lost, video_url), 30, "it is asked for again")
    after = {name: wait_until_settled(transcriptions, name) for name in names}
    wait_until_settled(transcriptions, lost)
    wait_for(
        lambda: {(answer or {}).get("status") for answer in ask_replicas(kubectl, lost)} == {"completed"},
        90,
        "every replica of the API sees what is new",
    )

    for name in names:
        assert after[name].status.state is State.SUCCEEDED, after[name].status.message
        assert after[name].status.attempt == 1
        assert after[name].status.result == before[name].status.result
        assert id_of(after[name]) == id_of(before[name])
        assert set(inbox.read()[name]) == {id_of(before[name])}
        assert transcriptions.output(name, "json") == stored[name], "it was computed again"
        assert transcriptions.job(name, 2) is None
    assert is_not_computed_again(transcriptions, names[1], rolled_back_at)
    assert len(inbox.read()[over]) == 1, "one that the backup knows as told was told again"
