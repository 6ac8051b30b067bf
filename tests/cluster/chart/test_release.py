"""The life of a release: installed, upgraded, rolled back, taken away and installed again, beside work that goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.transcriptionjob import State
from tests.support.helm import CHART, HELM, HELM3, RELEASE, Release, build_values, open_place, words_for
from tests.support.kubectl import Kubectl
from tests.support.speech import ROOT, Speech
from tests.support.transcriptions import TJ, Transcriptions, status_of
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

PREVIOUS = ROOT / "tests/data/charts/transcription-0.1.0.tgz"
COUNT = 20


@pytest.fixture
def place(kubectl: Kubectl) -> Iterator[Kubectl]:
    with open_place(kubectl, "release") as own:
        yield own


@pytest.fixture
def made(place: Kubectl, transcriptions: Transcriptions) -> Transcriptions:
    """Transcriptions of that namespace; the files are cleared with the test's others."""
    return transcriptions.at(place)


def count(kubectl: Kubectl, *states: State) -> int:
    return sum(status_of(manifest).state in states for manifest in kubectl.list(TJ))


@pytest.mark.soak
def test_twenty_are_completed_when_the_release_changes_and_goes_meanwhile(
    kubectl: Kubectl, place: Kubectl, made: Transcriptions, clip: Speech
) -> None:
    release = Release(HELM, place, RELEASE, (*build_values(kubectl), *words_for("controller.maxActive=4")))
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


@pytest.mark.parametrize("helm", [HELM, HELM3], ids=["helm", "helm3"])
def test_a_release_is_installed_changed_and_taken_away_when_it_is_helm_of_either_kind(
    kubectl: Kubectl, place: Kubectl, helm: Path
) -> None:
    release = Release(helm, place, RELEASE, build_values(kubectl))
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
    release = Release(HELM, kubectl, "transcription", ())
    kept = release.run("get", "manifest", release.name)
    assert "helm.sh/resource-policy: keep" in kept
    assert "Uninstalling leaves the resource definition" in release.run("get", "notes", release.name)
