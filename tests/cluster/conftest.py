"""Fixtures of the cluster tests: doors to the dev cluster that `make up` starts, spoken media, and two shared runs.

Each test makes transcriptions of its own and clears them away; the shared runs are only looked at.
"""

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bucket import Bucket, build_client, read_env
from tests.support.kubectl import Kubectl
from tests.support.namespaces import sweep
from tests.support.receiver import address_towards
from tests.support.service import Service
from tests.support.speech import ROOT, Speech, speak
from tests.support.transcriptions import Run, Transcriptions, an_id, is_final
from tests.support.waiting import wait_for

DEV = ROOT / ".dev"
API_URL = "http://127.0.0.1:8080"
S3_URL = "http://127.0.0.1:9000"
NAMESPACE = RELEASE = "transcription"
BUCKET = "transcriptions"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("cluster")
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    door = Kubectl(DEV / "bin/kubectl", DEV / "kubeconfig", NAMESPACE)
    assert door.kubeconfig.exists(), f"{door.kubeconfig} is missing: run make up first"
    sweep(door)
    return door


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    env = read_env(DEV / "s3.env")
    door = Bucket(build_client(S3_URL, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]), BUCKET)
    yield door
    door.close()


@contextmanager
def _cleared(kubectl: Kubectl, bucket: Bucket) -> Iterator[Transcriptions]:
    service = Service(API_URL)
    made = Transcriptions(kubectl, bucket, service)
    try:
        yield made
    finally:
        made.clear()
        service.close()


@pytest.fixture
def transcriptions(kubectl: Kubectl, bucket: Bucket) -> Iterator[Transcriptions]:
    """One test's transcriptions; deleted at its end."""
    with _cleared(kubectl, bucket) as made:
        yield made


@pytest.fixture
def service(transcriptions: Transcriptions) -> Service:
    """The REST client whose jobs and uploads are deleted with the test's transcriptions."""
    return transcriptions.service


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--speech-seed"))


@pytest.fixture(scope="session")
def clip(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Enough for one window of the model."""
    return speak(seed, 20, tmp_path_factory.mktemp("speech") / "clip.wav")


@pytest.fixture(scope="session")
def talk(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Several windows, so that progress moves."""
    return speak(seed + 1, 150, tmp_path_factory.mktemp("speech") / "talk.wav")


@pytest.fixture(scope="session")
def lecture(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Long enough that a test can do something while it is transcribed."""
    return speak(seed + 2, 420, tmp_path_factory.mktemp("speech") / "lecture.wav")


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text that calls itself a video."""
    path = tmp_path_factory.mktemp("media") / "notes.mp4"
    path.write_text("This is no video.\n" * 100)
    return path


def _run(made: Transcriptions, name: str, media: Path, **options: Any) -> Run:
    with made.watch(name) as watch:
        made.start(name, media, **options)
        answers = made.service.wait_until_final(name, 120)
        watch.until(is_final, 10, f"{name} is final")
    return Run(made, made.wait_until_finished(name, 10), watch.seen, answers)


@pytest.fixture(scope="session")
def good_run(kubectl: Kubectl, bucket: Bucket, talk: Speech) -> Iterator[Run]:
    """A video with speech that nobody disturbed, window after window, so that progress moves."""
    with _cleared(kubectl, bucket) as made:
        yield _run(made, an_id("good"), talk.mp4, engine="quality")


@pytest.fixture(scope="session")
def bad_run(kubectl: Kubectl, bucket: Bucket, text_file: Path) -> Iterator[Run]:
    """A file that is no video."""
    with _cleared(kubectl, bucket) as made:
        yield _run(made, an_id("bad"), text_file)


@pytest.fixture(scope="session")
def signing_secret(kubectl: Kubectl) -> str:
    """What the installation signs callbacks with."""
    deployment = kubectl.get("deployment", f"{RELEASE}-controller")
    assert deployment is not None
    env = {e["name"]: e for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    secret = kubectl.get("secret", env["CONTROLLER_CALLBACK_SECRET_NAME"]["value"])
    assert secret is not None
    return base64.b64decode(secret["data"]["secret"]).decode()


@pytest.fixture(scope="session")
def host_address(kubectl: Kubectl) -> str:
    """Where pods reach this machine: our own address on the network of the nodes."""
    addresses = kubectl.list("node")[0]["status"]["addresses"]
    return address_towards(next(a["address"] for a in addresses if a["type"] == "InternalIP"))


@pytest.fixture
def kill_pods_of(kubectl: Kubectl) -> Iterator[Callable[[str], None]]:
    """Kills all pods of the api or the controller, as a lost node would; returns when their successors are there."""
    killed: list[str] = []

    def kill(part: str) -> None:
        killed.append(f"deployment/{RELEASE}-{part}")
        old = kubectl.pods_of(f"{RELEASE}-{part}")
        assert old
        kubectl.delete("pod", *old, force=True)
        wait_for(lambda: kubectl.pods_of(f"{RELEASE}-{part}") - old, 30, "another pod is made")

    yield kill
    for deployment in killed:
        kubectl.run("rollout", "status", deployment, "--timeout=120s", timeout_seconds=150)


@pytest.fixture
def without_controller(kubectl: Kubectl) -> Callable[[], AbstractContextManager[None]]:
    """While the block runs there is no controller: what is asked for stays as it is."""
    deployment = f"{RELEASE}-controller"

    @contextmanager
    def pause() -> Iterator[None]:
        found = kubectl.get("deployment", deployment)
        assert found is not None
        kubectl.run("scale", f"deployment/{deployment}", "--replicas=0")
        try:
            wait_for(lambda: not kubectl.pods_of(deployment), 60, "the controller is gone")
            yield
        finally:
            kubectl.run("scale", f"deployment/{deployment}", f"--replicas={found['spec']['replicas']}")
            kubectl.run("rollout", "status", f"deployment/{deployment}", "--timeout=120s", timeout_seconds=150)

    return pause
