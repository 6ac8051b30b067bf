"""The life of a release: installed, upgraded, rolled back, taken away and installed again, beside work that goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.transcriptionjob import State
from tests.support.bucket import Bucket
from tests.support.helm import Release, read_images
from tests.support.kubectl import Kubectl
from tests.support.speech import ROOT, Speech
from tests.support.transcriptions import TJ, Transcriptions, an_id, status_of
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

CHART = ROOT / "charts/transcription"
PREVIOUS = ROOT / "tests/data/charts/transcription-0.1.0.tgz"
SECRETS = ("s3-api", "s3-controller", "s3-worker", "callback-signing")
COUNT = 20
OWN_VALUES = {
    "crds.enabled": "false",  # the definition is the dev release's
    "api.service.type": "ClusterIP",
    "api.service.nodePort": "null",
    "api.replicas": "1",
    "worker.gpu.count": "0",
    "worker.resources.requests.cpu": "100m",
    "worker.resources.requests.memory": "256Mi",
    "controller.maxActive": "4",
}


@pytest.fixture
def place(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace of the test's own, with the Secrets that the dev values name."""
    own = Kubectl(kubectl.binary, kubectl.kubeconfig, an_id("release"))
    own.run("create", "namespace", own.namespace)
    for name in SECRETS:
        secret = kubectl.get("secret", name)
        assert secret is not None
        own.create(secret | {"metadata": {"name": name}})
    yield own
    Release(helms()["helm"], own, "scribe", ()).run(
        "uninstall", "scribe", "--ignore-not-found"
    )  # what has no namespace
    own.run("delete", "namespace", own.namespace, timeout_seconds=180)


def build_values(kubectl: Kubectl) -> tuple[str, ...]:
    """Those of the dev release with its images, but for a place of its own and no GPU."""
    tags = {part: image.rpartition(":")[2] for part, image in read_images(kubectl).items()}
    settings = [f"--set={name}={value}" for name, value in OWN_VALUES.items()]
    return (
        f"--values={ROOT / 'dev/values.yaml'}",
        *settings,
        *(f"--set-string={p}.image.tag={t}" for p, t in tags.items()),
    )


@pytest.fixture
def made(place: Kubectl, transcriptions: Transcriptions, bucket: Bucket) -> Transcriptions:
    """Transcriptions of that namespace; the files are cleared with the test's others."""
    return Transcriptions(place, bucket, transcriptions.service, keys=transcriptions.keys)


def helms() -> dict[str, Path]:
    return {"helm": ROOT / ".dev/bin/helm", "helm3": ROOT / ".dev/bin/helm3"}


def count(kubectl: Kubectl, *states: State) -> int:
    return sum(status_of(manifest).state in states for manifest in kubectl.list(TJ))


@pytest.mark.soak
def test_twenty_are_completed_when_the_release_changes_and_goes_meanwhile(
    kubectl: Kubectl, place: Kubectl, made: Transcriptions, clip: Speech
) -> None:
    release = Release(helms()["helm"], place, "scribe", build_values(kubectl))
    release.install(PREVIOUS)
    key = made.store(clip.wav, "clip.wav")
    names = [made.create(f"talk-{number}", key, resources={"gpu": 0})["metadata"]["name"] for number in range(COUNT)]
    wait_for(lambda: count(place, State.RUNNING), 60, "some are running")

    running = {job["metadata"]["uid"] for job in place.list("job")}
    release.upgrade(CHART)
    assert running <= {job["metadata"]["uid"] for job in place.list("job")}, "an upgrade has stopped what was running"
    wait_for(lambda: count(place, State.SUCCEEDED) >= 4, 120, "the new one finishes some")

    release.roll_back()
    done = count(place, State.SUCCEEDED)
    wait_for(lambda: count(place, State.SUCCEEDED) >= min(COUNT, done + 2), 120, "the old one finishes some")

    release.uninstall()
    assert len(place.list(TJ)) == COUNT, "uninstalling has taken transcriptions along"

    release.install(CHART)
    ends = [made.wait_until_finished(name, 240) for name in names]
    assert {end.status.state for end in ends} == {State.SUCCEEDED}
    for name in names:
        assert_same_words(clip.text, made.output(name, "txt").decode())


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_a_release_is_installed_changed_and_taken_away_when_it_is_helm_of_either_kind(
    kubectl: Kubectl, place: Kubectl, helm: str
) -> None:
    release = Release(helms()[helm], place, "scribe", build_values(kubectl))
    release.install(PREVIOUS)
    release.upgrade(CHART)
    release.roll_back()
    history = json.loads(release.run("history", release.name, "--output", "json"))
    assert [revision["status"] for revision in history] == ["superseded", "superseded", "deployed"]
    release.uninstall()
    left = place.run(
        "get", "deployments,services,serviceaccounts,roles", "--selector=app.kubernetes.io/instance=scribe"
    )
    assert left == ""


def test_the_definition_stays_and_helm_says_so_when_the_dev_release_would_be_uninstalled(kubectl: Kubectl) -> None:
    release = Release(helms()["helm"], kubectl, "transcription", ())
    kept = release.run("get", "manifest", release.name)
    assert "helm.sh/resource-policy: keep" in kept
    assert "Uninstalling leaves the resource definition" in release.run("get", "notes", release.name)
