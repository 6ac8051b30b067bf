"""A Helm release of our chart, as whoever installs it handles one."""

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.kubectl import Kubectl
from tests.support.namespaces import open_namespace
from tests.support.speech import ROOT

CHART = ROOT / "charts/transcription"
HELM, HELM3 = ROOT / ".dev/bin/helm", ROOT / ".dev/bin/helm3"
RELEASE = "scribe"
PATIENCE_SECONDS = 180
SECRETS = ("s3-api", "s3-controller", "s3-worker", "callback-signing")
"""Those that the dev values name."""

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

SMALL = (
    "crds.enabled=false",  # the definition is the dev release's
    "api.replicas=1",
    "controller.replicas=1",
    "worker.gpu.count=0",
    "worker.resources.requests.cpu=100m",
    "worker.resources.requests.memory=256Mi",
)
OWN_PORTS = ("api.service.type=ClusterIP", "api.service.nodePort=null")


def words_for(*settings: str) -> tuple[str, ...]:
    """Helm's words for values, each given as name=value."""
    return tuple(f"--set={setting}" for setting in settings)


def build_bare_values(kubectl: Kubectl) -> tuple[str, ...]:
    """No values but the images of the dev release, and little of everything."""
    images = {part: image.rpartition(":") for part, image in read_images(kubectl).items()}
    names = [f"{part}.image.repository={name}" for part, (name, _, _) in images.items()]
    tags = [f"--set-string={part}.image.tag={tag}" for part, (_, _, tag) in images.items()]
    return (*words_for(*SMALL, *names), *tags)


def build_values(kubectl: Kubectl) -> tuple[str, ...]:
    """Those of the dev release with its images, but for a place of its own, little of everything and no GPU."""
    return (f"--values={ROOT / 'dev/values.yaml'}", *build_bare_values(kubectl), *words_for(*OWN_PORTS))


@contextmanager
def open_place(kubectl: Kubectl, purpose: str, names: Sequence[str] = (RELEASE,)) -> Iterator[Kubectl]:
    """A namespace of a test's own with the Secrets that the dev values name; what its releases made goes with it."""
    with open_namespace(kubectl, purpose) as own, cleared_of(own, names):
        for name in SECRETS:
            secret = kubectl.get("secret", name)
            assert secret is not None
            own.create(secret | {"metadata": {"name": name}})
        yield own


@contextmanager
def open_trial(kubectl: Kubectl, purpose: str) -> Iterator["Release"]:
    """A release with S3 of its own, in a namespace for restricted pods alone; not installed yet."""
    server = kubectl.run(
        "get", "deployment/s3", "--namespace=s3", "--output=jsonpath={.spec.template.spec.containers[0].image}"
    )
    repository, _, tag = server.rpartition(":")
    settings = ("trialS3.enabled=true", "trialS3.secret=trial", f"trialS3.image.repository={repository}")
    values = (*build_bare_values(kubectl), *words_for(*settings), f"--set-string=trialS3.image.tag={tag}")
    keys = {"AWS_ACCESS_KEY_ID": "trial", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    with open_namespace(kubectl, purpose, RESTRICTED) as own, cleared_of(own, (RELEASE,)):
        own.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "trial"}, "stringData": keys})
        yield Release(HELM, own, RELEASE, values)


@contextmanager
def open_applied(kubectl: Kubectl, purpose: str, templates: Sequence[str]) -> Iterator[Kubectl]:
    """A namespace with these templates of the chart, without a release; what they made outside of it goes, too."""
    with open_namespace(kubectl, purpose) as own:
        parts = [word for name in templates for word in ("--show-only", f"templates/{name}.yaml")]
        words = [str(HELM), "template", RELEASE, str(CHART), "--namespace", own.namespace, *parts]
        objects = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        try:
            own.run("apply", "--server-side", "--filename", "-", stdin=objects)
            yield own
        finally:
            own.run("delete", "--ignore-not-found", "--wait=false", "--filename", "-", stdin=objects)


@contextmanager
def cleared_of(place: Kubectl, names: Sequence[str]) -> Iterator[None]:
    """These releases are uninstalled in the end, for the sake of what has no namespace."""
    try:
        yield
    finally:
        Release(HELM, place, RELEASE, ()).run("uninstall", *names, "--ignore-not-found")


def read_images(kubectl: Kubectl) -> dict[str, str]:
    """What the dev release runs, by part."""
    containers = {}
    for part in ("api", "controller"):
        deployment = kubectl.get("deployment", f"transcription-{part}")
        assert deployment is not None
        containers[part] = deployment["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value", "") for entry in containers["controller"]["env"]}
    images = {part: container["image"] for part, container in containers.items()}
    return images | {"worker": env["CONTROLLER_WORKER_IMAGE"]}


@dataclass(frozen=True)
class Release:
    """One release, by one Helm; `values` go with each install and upgrade."""

    helm: Path
    kubectl: Kubectl
    name: str
    values: tuple[str, ...]

    def install(self, chart: Path) -> str:
        """Install it and wait until it runs; what the installer reads."""
        return self.run("install", self.name, chart, *self.values, *self._wait())

    def begin(self, chart: Path) -> str:
        """Install it and wait for nothing."""
        return self.run("install", self.name, chart, *self.values)

    def test(self) -> str:
        """What `helm test` prints, with the lines of its pod."""
        return self.run("test", self.name, "--logs", "--timeout", f"{PATIENCE_SECONDS}s")

    def upgrade(self, chart: Path, *more: str) -> str:
        """To the same values and some for this time, or an install when there is none yet."""
        return self.run("upgrade", "--install", self.name, chart, *self.values, *more, *self._wait())

    def roll_back(self) -> str:
        """To the revision before."""
        return self.run("rollback", self.name, *self._wait())

    def uninstall(self) -> str:
        return self.run("uninstall", self.name, *self._wait())

    def run(self, *words: str | Path) -> str:
        """What Helm prints; fails with its words."""
        where = ("--namespace", self.kubectl.namespace, "--kubeconfig", str(self.kubectl.kubeconfig))
        done = subprocess.run(
            [self.helm, *words, *where], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS + 30
        )
        assert done.returncode == 0, f"helm {words[0]}: exit code {done.returncode}\n{done.stderr}{done.stdout}"
        return done.stdout

    @staticmethod
    def _wait() -> tuple[str, ...]:
        return ("--wait", "--timeout", f"{PATIENCE_SECONDS}s")
