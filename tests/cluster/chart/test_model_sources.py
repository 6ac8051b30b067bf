"""Where workers may have their models from, each by a transcription that nothing else could have made."""

import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.transcriptionjob import State
from dev import docker, registry, versions
from tests.support.helm import CHART, HELM, RELEASE, Release, build_values, open_place, read_images, words_for
from tests.support.kubectl import Kubectl, Manifest
from tests.support.shelf_of_models import CLAIM, ModelFolder, open_folder
from tests.support.speech import ROOT, Speech
from tests.support.transcriptions import Transcriptions, an_id
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

OWN = "mine"
"""A model that no image has."""
NOWHERE = "http://127.0.0.1:9"
FROM_CLAIM = f"worker.modelSource.volumeClaim={CLAIM}"


@pytest.fixture(scope="module")
def folder(kubectl: Kubectl) -> Iterator[ModelFolder]:
    with open_place(kubectl, "models") as place, open_folder(place, read_images(kubectl)["worker"]) as made:
        yield made


@pytest.fixture(scope="module")
def release(kubectl: Kubectl, folder: ModelFolder) -> Release:
    """The controller alone; each test says by an upgrade where models are."""
    return Release(HELM, folder.place, RELEASE, (*build_values(kubectl), *words_for("api.replicas=0")))


@pytest.fixture
def made(folder: ModelFolder, transcriptions: Transcriptions) -> Transcriptions:
    """Transcriptions of that namespace; the files are cleared with the test's others."""
    return transcriptions.at(folder.place)


def assert_transcribed(made: Transcriptions, clip: Speech, model: str) -> None:
    """By a worker on the CPU, word for word."""
    name = an_id("talk")
    made.create(name, made.store(clip.wav, "clip.wav"), resources={"gpu": 0}, model=model)
    end = made.wait_until_finished(name, 120)
    assert end.status.state is State.SUCCEEDED, end.status
    assert_same_words(clip.text, made.output(name, "txt").decode())


def find_job(place: Kubectl) -> Manifest:
    """The one Job for models; those of earlier values are gone."""
    jobs = place.list("job", "app.kubernetes.io/component=models")
    (job,) = [job for job in jobs if "deletionTimestamp" not in job["metadata"]]
    return job


def read_last_words(place: Kubectl, job: Manifest) -> str:
    """What `kubectl describe` shows of the Job's pod that failed, once there is one."""
    pods = place.list("pod", f"batch.kubernetes.io/job-name={job['metadata']['name']}")
    ends = [status["state"].get("terminated", {}) for pod in pods for status in pod["status"]["containerStatuses"]]
    return "".join(end.get("message", "") for end in ends)


@pytest.mark.soak
def test_workers_read_the_claim_that_a_job_has_filled(release: Release, made: Transcriptions, clip: Speech) -> None:
    said = release.upgrade(CHART, *words_for(FROM_CLAIM, "worker.warmUp={demo}"))
    job = find_job(release.kubectl)["metadata"]["name"]
    assert f"logs job/{job}" in said
    release.kubectl.wait(f"job/{job}", "condition=Complete", 60)
    assert "/claim/demo.pt has " in release.kubectl.run("logs", f"job/{job}")
    assert_transcribed(made, clip, "demo")


@pytest.mark.soak
def test_the_job_is_given_up_when_nobody_knows_a_model(release: Release) -> None:
    release.upgrade(CHART, *words_for(FROM_CLAIM, "worker.warmUp={demo,nonsense}"))
    job = find_job(release.kubectl)
    release.kubectl.wait(f"job/{job['metadata']['name']}", "condition=Failed", 60)
    assert "nonsense: The model is not installed here: choose one of demo" in read_last_words(release.kubectl, job)


@pytest.mark.soak
def test_the_job_says_why_when_there_is_no_way_to_the_internet(release: Release) -> None:
    proxy = ("worker.extraEnv[0].name=HTTPS_PROXY", f"worker.extraEnv[0].value={NOWHERE}")
    release.upgrade(CHART, *words_for(FROM_CLAIM, "worker.warmUp={tiny}", *proxy))
    job = find_job(release.kubectl)
    said = wait_for(lambda: read_last_words(release.kubectl, job), 60, "a pod of the Job has failed")
    assert "tiny: The model could not be loaded: check the model volume or download" in said
    assert "Connection refused" in said


@pytest.mark.soak
def test_workers_read_a_claim_that_was_filled_by_hand(
    release: Release, folder: ModelFolder, made: Transcriptions, clip: Speech
) -> None:
    folder.put(OWN)
    release.upgrade(CHART, *words_for(FROM_CLAIM))
    assert_transcribed(made, clip, OWN)


@pytest.mark.soak
def test_workers_read_a_folder_of_their_node(
    release: Release, folder: ModelFolder, made: Transcriptions, clip: Speech
) -> None:
    folder.put(OWN)
    release.upgrade(CHART, *words_for(f"worker.modelSource.hostPath={folder.path}"))
    assert_transcribed(made, clip, OWN)


@pytest.fixture
def model_image(tmp_path: Path) -> Iterator[str]:
    """An image with a model in its root and nothing else, in the registry beside the cluster."""
    engine, name = docker.find(), f"{versions.REGISTRY}/models:{an_id('test')}"
    file = tmp_path / "model.pt"
    file.write_bytes(lzma.decompress((ROOT / "whisper-job-image/model/demo.pt.xz").read_bytes()))
    file.chmod(0o444)
    engine.import_files(name, {f"{OWN}.pt": file})
    engine.run("push", name)
    yield name
    engine.succeeds("rmi", name)
    registry.forget("models", name.rpartition(":")[2])


@pytest.mark.soak
def test_workers_read_an_image_that_is_mounted(
    release: Release, model_image: str, made: Transcriptions, clip: Speech
) -> None:
    release.upgrade(CHART, *words_for(f"worker.modelSource.image={model_image}"))
    assert_transcribed(made, clip, OWN)
