"""The controller as a process of this machine, with the rights that the chart gives it and no others."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.support.controllers import find_free_ports
from tests.support.kubectl import Kubectl
from tests.support.speech import ROOT
from tests.support.waiting import wait_for

START_SECONDS = 60
STOP_SECONDS = 30
LogLine = dict[str, Any]


class LocalController:
    """Started and stopped as often as a test likes; its log goes on in one file."""

    def __init__(self, folder: Path, kubeconfig: Path, settings: Mapping[str, str]) -> None:
        self._log = folder / "controller.log"
        self.kubeconfig = kubeconfig
        self._twins = 0
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = (0, 0)

    def __enter__(self) -> "LocalController":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, **changes: str) -> None:
        """Come up in place of the one before, with some settings changed; returns when all live ones are known."""
        self.kill()
        self._settings |= changes
        self._ports = find_free_ports()
        looks = len(self.lines("resynced"))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "controller"], env=self._build_env(), cwd=ROOT, stdout=log, stderr=log
            )
        wait_for(lambda: self._has_looked(looks), START_SECONDS, "the controller knows all live transcriptions")

    def twin(self) -> "LocalController":
        """Another one with the same settings, rights and namespace; not started yet."""
        self._twins += 1
        folder = self._log.parent / f"twin-{self._twins}"
        folder.mkdir()
        return LocalController(folder, self.kubeconfig, self._settings)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, how: signal.Signals) -> None:
        """Signal it, and do not wait."""
        assert self._process is not None
        self._process.send_signal(how)

    def end_within(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL when that takes longer."""
        assert self._process is not None
        self.send(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, from one moment to the next."""
        self._end(signal.SIGKILL)

    def lines(self, message: str = "", **fields: Any) -> list[LogLine]:
        """What it has logged with that message and those fields."""
        texts = self._log.read_text().splitlines() if self._log.exists() else []
        lines = [json.loads(text) for text in texts if text.startswith("{")]
        return [line for line in lines if _fits(line, message, fields)]

    def count_calls(self, verb: str, resource: str) -> int:
        """How often it has asked the API server for that since it was started."""
        return self.measure("kubernetes_requests_total", f'verb="{verb}"', f'resource="{resource}"')

    def measure(self, name: str, *labels: str) -> int:
        """The sum of a metric over all that have these labels, as /metrics tells it."""
        text = httpx.get(f"http://127.0.0.1:{self._ports[1]}/metrics").text
        found = re.findall(rf"^transcription_{name}(.*) (\S+)$", text, re.MULTILINE)
        return sum(int(float(value)) for words, value in found if all(label in words for label in labels))

    def _has_looked(self, looks: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the controller has ended:\n{self._log.read_text()[-3000:]}"
        return len(self.lines("resynced")) > looks

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(STOP_SECONDS)
        self._process = None

    def _build_env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("CONTROLLER_", "AWS_"))}
        ports = {"CONTROLLER_HEALTH_PORT": str(self._ports[0]), "CONTROLLER_METRICS_PORT": str(self._ports[1])}
        return kept | self._settings | ports | {"KUBECONFIG": str(self.kubeconfig)}


def write_kubeconfig(kubectl: Kubectl, account: str, path: Path) -> Path:
    """A kubeconfig that holds a token of the ServiceAccount and nothing else."""
    config = json.loads(kubectl.run("config", "view", "--raw", "--minify", "--output", "json"))
    token = kubectl.run("create", "token", account, "--duration", "4h").strip()
    config["users"] = [{"name": account, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = account
    path.write_text(json.dumps(config))
    return path


def _fits(line: LogLine, message: str, fields: Mapping[str, Any]) -> bool:
    return message in str(line.get("message", "")) and all(line.get(key) == value for key, value in fields.items())
