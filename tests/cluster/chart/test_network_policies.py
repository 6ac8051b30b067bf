"""The chart's NetworkPolicies where they are enforced: what must be reached is, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.helm import CHART, RELEASE, Release, open_trial, read_images, words_for
from tests.support.kubectl import Kubectl
from tests.support.namespaces import open_namespace
from tests.support.policies import METADATA, Prober, enforced, start_pod, wait_until_closed

PART = "app.kubernetes.io/component"
INSTANCE = {"app.kubernetes.io/instance": RELEASE}
WORKER = INSTANCE | {"app.kubernetes.io/name": "transcription-worker"}
API = INSTANCE | {"app.kubernetes.io/name": "transcription", PART: "api"}
OTHER_PORT = 7777


@dataclass(frozen=True)
class World:
    """An enforced cluster with a release in it, a stranger's pod, and a stand-in for a cloud's metadata."""

    release: Release
    prober_image: str
    stranger: str

    @property
    def place(self) -> Kubectl:
        return self.release.kubectl

    def start(self, name: str, labels: dict[str, str]) -> Prober:
        address = start_pod(self.place, name, self.prober_image, labels, ("0.0.0.0", OTHER_PORT))
        return Prober(self.place, name, address)

    def at(self, part: str) -> str:
        """The address of a pod of the release."""
        (pod,) = self.place.list("pod", f"{PART}={part},app.kubernetes.io/instance={RELEASE}")
        return str(pod["status"]["podIP"])


@pytest.fixture(scope="module")
def world(kubectl: Kubectl) -> Iterator[World]:
    image = read_images(kubectl)["api"]
    with (
        open_namespace(kubectl, "stranger") as elsewhere,
        open_trial(kubectl, "policies") as release,
        enforced(kubectl),
    ):
        stranger = start_pod(elsewhere, "stranger", image, {}, ("0.0.0.0", OTHER_PORT))
        start_pod(elsewhere, "metadata", image, {}, (METADATA, 80))
        release.install(CHART)
        yield World(release, image, stranger)


@pytest.mark.soak
def test_a_worker_reaches_what_it_calls_and_nothing_else(world: World) -> None:
    metadata, stranger = f"{METADATA}:80", f"{world.stranger}:{OTHER_PORT}"
    anybody, worker = world.start("anybody", {}), world.start("worker", WORKER)
    wait_until_closed(worker, metadata)
    needed = {f"{RELEASE}-s3:9000", "kubernetes.default.svc:443", f"{RELEASE}-api:8080"}
    kept_from = {metadata, stranger, f"{world.at('controller')}:8081"}
    assert anybody.reach(metadata, stranger, *needed) == dict.fromkeys((metadata, stranger, *needed), True)
    assert worker.reach(*needed, *kept_from) == dict.fromkeys(needed, True) | dict.fromkeys(kept_from, False)


@pytest.mark.soak
def test_only_the_ports_for_others_are_open(world: World) -> None:
    anybody, worker = world.start("caller", {}), world.start("closed-worker", WORKER)
    controller, api = world.at("controller"), world.at("api")
    closed = {f"{controller}:8081", f"{worker.address}:{OTHER_PORT}"}
    for target in closed:
        wait_until_closed(anybody, target)
    opened = {f"{api}:8080", f"{controller}:9090", f"{world.stranger}:{OTHER_PORT}"}
    assert anybody.reach(*opened, *closed) == dict.fromkeys(opened, True) | dict.fromkeys(closed, False)


@pytest.mark.soak
def test_the_api_is_kept_from_the_metadata_too(world: World) -> None:
    api = world.start("api-like", API)
    wait_until_closed(api, f"{METADATA}:80")
    assert api.reach(f"{RELEASE}-s3:9000", f"{world.stranger}:{OTHER_PORT}") == {
        f"{RELEASE}-s3:9000": True,
        f"{world.stranger}:{OTHER_PORT}": False,
    }


@pytest.mark.soak
def test_the_whole_installation_works_where_policies_hold(world: World) -> None:
    world.release.upgrade(CHART, *words_for("selftest.job=true", "selftest.jobSeconds=120"))
    said = world.release.test()
    assert [said.count(f"ok      {check}: ") for check in ("API", "Kubernetes", "S3", "Job")] == [1, 1, 1, 1], said
