"""Controller processes of a test, beside the cluster: started as in their image, killed as the test likes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from crds.transcriptionjob import Source, Spec, build_transcription
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
MAIN = "from controller.__main__ import main; main()"
HASTY = "import controller.watches as w; w.SUSPICIOUS_SECONDS, w.SETTLE_SECONDS, w.LOOK_SECONDS = 3, 2, 0.5; "
"""Has the probe suspect silent watches sooner, so that a test need not wait for minutes."""


def find_free_ports() -> tuple[int, int]:
    """Two that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


@dataclass
class ControllerProcess:
    """One `python -m controller`."""

    process: "subprocess.Popen[bytes]"
    health_port: int
    metrics_port: int
    log: Path

    def send(self, number: signal.Signals) -> float:
        """Signal it; the time at which that was done."""
        self.process.send_signal(number)
        return time.monotonic()

    def is_well(self) -> bool:
        return self.find_problems() == []

    def find_problems(self) -> list[str] | None:
        """What the probe says; None while there is no answer."""
        url = f"http://127.0.0.1:{self.health_port}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return list(json.load(answer)["problems"])
        except urllib.error.HTTPError as error:
            with error:
                return list(json.load(error)["problems"])
        except OSError:
            return None

    def measure(self, name: str) -> float:
        """The sum of a metric over its labels; 0 while there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        return sum(map(float, re.findall(rf"^transcription_{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)))

    def is_leading(self) -> bool:
        return self.measure("leader") == 1

    def wait_for_end(self, timeout_seconds: float) -> int:
        return self.process.wait(timeout_seconds)


@dataclass
class Controllers:
    """The controllers of one namespace; all are killed at the end of the test."""

    kubectl: Kubectl
    folder: Path
    started: list[ControllerProcess] = field(default_factory=list)

    def start(self, lease: str = "scribe", before: str = "", kubeconfig: Path | None = None) -> ControllerProcess:
        """One more; no lease: it works at once. `before` is done first, in the same process."""
        health_port, metrics_port = find_free_ports()
        settings = {
            "NAMESPACE": self.kubectl.namespace,
            "S3_BUCKET": "media",
            "WORKER_IMAGE": "registry.invalid/worker:1",
            "WORKER_SERVICE_ACCOUNT": "nobody",
            "HEALTH_PORT": str(health_port),
            "METRICS_PORT": str(metrics_port),
            "LEASE_NAME": lease,
        }
        log = self.folder / f"controller-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", before + MAIN] if before else [sys.executable, "-m", "controller"],
                cwd=ROOT,
                env=os.environ
                | {f"CONTROLLER_{name}": value for name, value in settings.items()}
                | {"KUBECONFIG": str(kubeconfig or self.kubectl.kubeconfig), "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(ControllerProcess(process, health_port, metrics_port, log))
        return self.started[-1]

    def start_well(self, lease: str = "scribe", before: str = "", kubeconfig: Path | None = None) -> ControllerProcess:
        """One more, once its probe is content."""
        one = self.start(lease, before, kubeconfig)
        wait_for(one.is_well, 60, "the controller is well")
        return one

    def start_pair(self) -> tuple[ControllerProcess, ControllerProcess]:
        """One that leads, one that stands by."""
        leader = self.start_well()
        wait_for(leader.is_leading, 30, "the first one leads")
        standby = self.start_well()
        wait_for(lambda: "standing by" in standby.log.read_text(), 10, "the second one stands by")
        return leader, standby

    def kill_all(self) -> None:
        for one in self.started:
            if one.process.poll() is None:
                one.process.kill()
            one.process.wait()


def ask(place: Kubectl, *names: str) -> None:
    """Transcriptions that nobody will ever run: their workers have no account."""
    spec = Spec(source=Source(bucket="media", key="videos/a.mp4"))
    items = [build_transcription(name, place.namespace, spec) for name in names]
    place.run("create", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


@contextmanager
def some_controllers(kubectl: Kubectl, folder: Path) -> Iterator[Controllers]:
    controllers = Controllers(kubectl, folder)
    try:
        yield controllers
    finally:
        controllers.kill_all()
