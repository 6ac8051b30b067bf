"""A Helm release of our chart, as whoever installs it handles one."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.kubectl import Kubectl

PATIENCE_SECONDS = 180


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

    def upgrade(self, chart: Path) -> str:
        return self.run("upgrade", self.name, chart, *self.values, *self._wait())

    def roll_back(self) -> str:
        """To the revision before."""
        return self.run("rollback", self.name, *self._wait())

    def uninstall(self) -> str:
        return self.run("uninstall", self.name, *self._wait())

    def run(self, *words: str | Path) -> str:
        """What Helm prints; fails with its words on standard error."""
        where = ("--namespace", self.kubectl.namespace, "--kubeconfig", str(self.kubectl.kubeconfig))
        done = subprocess.run(
            [self.helm, *words, *where], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS + 30
        )
        assert done.returncode == 0, f"helm {words[0]}: exit code {done.returncode}\n{done.stderr}"
        return done.stdout

    @staticmethod
    def _wait() -> tuple[str, ...]:
        return ("--wait", "--timeout", f"{PATIENCE_SECONDS}s")
