"""A node without a kubelet: what becomes of its pods is for the test to say."""

import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2

from crds.worker import CONTAINER_NAME
from tests.support.admin import STRATEGIC, Admin
from tests.support.kubectl import Manifest
from tests.support.namespaces import mark

LABEL = "transcription.ecg.dev/simulated"
CAPACITY = {
    "cpu": "64",
    "memory": "256Gi",
    "ephemeral-storage": "1Ti",
    "pods": "1000",
    "nvidia.com/gpu": "64",
    "nvidia.com/gpu.shared": "64",
    "nvidia.com/mig-1g.5gb": "64",
    "nvidia.com/mig-3g.40gb": "64",
    "amd.com/gpu": "64",
}
HEARTBEAT_SECONDS = 10
PLACEMENT = {
    "nodeSelector": {LABEL: "true"},
    "tolerations": [{"key": LABEL, "operator": "Exists"}],
    "resources": {"requests": {"cpu": "10m"}},
}
"""What brings worker pods here; for CONTROLLER_WORKER_POD."""


class SimulatedNode:
    """The scheduler takes it for a node with GPUs. Its taint keeps everybody else's pods away."""

    def __init__(self, admin: Admin, name: str) -> None:
        self.name = name
        self._admin = admin
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "SimulatedNode":
        labels = mark() | {LABEL: "true", "kubernetes.io/hostname": self.name}
        taint = {"key": LABEL, "value": "true", "effect": "NoSchedule"}
        node = {"metadata": {"name": self.name, "labels": labels}, "spec": {"taints": [taint]}}
        self._admin.ask("POST", "/api/v1/nodes", node)
        self._admin.ask("PATCH", self._status_path, {"status": {"capacity": CAPACITY, "allocatable": CAPACITY}})
        self._report()
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._heart.join()
        self._admin.call("DELETE", f"/api/v1/nodes/{self.name}")

    def start(self, pod: Manifest) -> None:
        """Its worker is at work."""
        running = {"running": {"startedAt": now_text()}}
        self._write(pod, _build_status("Running", running, is_ready=True))

    def hold(self, pod: Manifest, reason: str) -> None:
        """Its worker cannot start, because of an image or a Secret."""
        self._write(pod, _build_status("Pending", {"waiting": {"reason": reason, "message": "held"}}))

    def end(self, pod: Manifest, exit_code: int, message: str = "", reason: str = "") -> None:
        """Its worker has ended, with a termination message."""
        terminated = {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "message": message,
            "startedAt": now_text(),
            "finishedAt": now_text(),
        }
        self._write(pod, _build_status("Failed" if exit_code else "Succeeded", {"terminated": terminated}))

    def fail(self, pod: Manifest, reason: str) -> None:
        """The kubelet itself ends it or does not take it: no container has an exit code."""
        self._write(pod, {"phase": "Failed", "reason": reason, "message": f"Pod was rejected: {reason}"})

    def mark(self, pod: Manifest, condition: str) -> None:
        """The control plane says something about it."""
        marked = {"type": condition, "status": "True", "reason": "Simulated", "lastTransitionTime": now_text()}
        self._write(pod, {"conditions": [marked]})

    def evict(self, pod: Manifest) -> None:
        """As when a node is drained: the API server marks it, then it is to end."""
        meta = pod["metadata"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta["name"]}}
        self._admin.ask("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction", body)

    def obey(self, pod: Manifest) -> None:
        """It was told to end: the worker does so on SIGTERM, and the pod goes."""
        self.end(pod, 143)
        self.remove(pod)

    def remove(self, pod: Manifest) -> None:
        """The pod is gone from one moment to the next."""
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        answer = self._admin.call("DELETE", path, {"gracePeriodSeconds": 0})
        assert answer.is_success or answer.status_code == 404, answer.text

    @property
    def _status_path(self) -> str:
        return f"/api/v1/nodes/{self.name}/status"

    def _beat(self) -> None:
        while not self._is_over.wait(HEARTBEAT_SECONDS):
            with suppress(httpx2.TransportError, AssertionError):  # a kubelet goes on when the API server is away
                self._report()

    def _report(self) -> None:
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Simulated",
            "message": "no kubelet",
            "lastHeartbeatTime": now_text(),
            "lastTransitionTime": now_text(),
        }
        self._admin.ask("PATCH", self._status_path, {"status": {"conditions": [ready]}}, STRATEGIC)

    def _write(self, pod: Manifest, status: dict[str, Any]) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        self._admin.ask("PATCH", path, {"status": status}, STRATEGIC)


def now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _build_status(phase: str, state: dict[str, Any], *, is_ready: bool = False) -> dict[str, Any]:
    container = {
        "name": CONTAINER_NAME,
        "image": "simulated",
        "imageID": "",
        "restartCount": 0,
        "ready": is_ready,
        "started": is_ready,
        "state": state,
    }
    ready = {"type": "Ready", "status": str(is_ready), "lastTransitionTime": now_text()}
    return {"phase": phase, "conditions": [ready], "containerStatuses": [container]}
