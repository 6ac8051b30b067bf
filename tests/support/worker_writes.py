"""Writes in the name of a worker: pod-bound tokens, sent to the API server as the worker sends them."""

import base64
import json
import ssl
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from crds.transcriptionjob import API_VERSION, GROUP, KIND, PLURAL, VERSION
from crds.worker import build_callback_id, build_job_name, build_result_prefix
from tests.support.kubectl import Kubectl, Manifest

Document = dict[str, Any]


@dataclass(frozen=True)
class Worker:
    """A transcription, a pod that may be its worker, and that pod's token."""

    namespace: str
    name: str
    uid: str
    pod_uid: str
    token: str
    attempt: int = 1

    def progress(self, **more: Any) -> Document:
        return {"podUID": self.pod_uid, "attempt": self.attempt, **more}

    def result(self, **more: Any) -> Document:
        key = build_result_prefix(self.namespace, self.name, self.uid, self.attempt) + "transcript.json"
        return {"key": key, "sha256": "a" * 64, "bytes": 10, "formats": ["json"], **more}

    def callback(self, state: str = "Pending", **more: Any) -> Document:
        return {"state": state, "id": build_callback_id(self.uid, self.attempt), **more}


@dataclass(frozen=True)
class WorkerDoor:
    """One namespace of the API server, for whoever holds a token."""

    client: httpx.Client
    kubectl: Kubectl
    account: str

    def patch(self, token: str, name: str, change: Document, subresource: str = "/status") -> httpx.Response:
        return self._send("PATCH", token, f"/{name}{subresource}", change)

    def report(self, worker: Worker, status: Document) -> httpx.Response:
        """A patch of the worker's own status."""
        return self.patch(worker.token, worker.name, {"status": status})

    def call(self, method: str, token: str, path: str) -> httpx.Response:
        return self._send(method, token, path, None)

    def a_transcription(self, name: str) -> Manifest:
        spec = {"source": {"bucket": "videos", "key": "a.mp4"}}
        return self.kubectl.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec})

    def a_worker(self, name: str, attempt: int = 1, pod: str | None = None) -> Worker:
        """A fresh transcription and a pod, by default one named as a pod of its Job is."""
        made = self.a_transcription(name)
        return self.a_pod_of(made, attempt, pod or f"{build_job_name(name, attempt)}-abcde")

    def a_pod_of(self, transcription: Manifest, attempt: int, pod: str) -> Worker:
        return self.a_worker_in(transcription, attempt, self.kubectl.create(_build_pod(pod, self.account)))

    def a_worker_in(self, transcription: Manifest, attempt: int, pod: Manifest) -> Worker:
        """Whoever works in a pod that is there."""
        meta, name, uid = transcription["metadata"], pod["metadata"]["name"], pod["metadata"]["uid"]
        bound = ("--bound-object-kind", "Pod", "--bound-object-name", name, "--bound-object-uid", uid)
        token = self.kubectl.run("create", "token", self.account, *bound).strip()
        return Worker(self.kubectl.namespace, meta["name"], meta["uid"], uid, token, attempt)

    def set_status(self, name: str, status: Document) -> None:
        """As the controller does, or whoever else may."""
        change = json.dumps({"status": status})
        self.kubectl.run("patch", PLURAL, name, "--subresource", "status", "--type", "merge", "--patch", change)

    def _send(self, method: str, token: str, path: str, body: Document | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/merge-patch+json"}
        url = f"/apis/{GROUP}/{VERSION}/namespaces/{self.kubectl.namespace}/{PLURAL}{path}"
        return self.client.request(method, url, headers=headers, content=json.dumps(body) if body else None)


def build_client(kubectl: Kubectl) -> httpx.Client:
    """A client of the API server that brings no identity of its own."""
    config = json.loads(kubectl.run("config", "view", "--raw", "--minify", "--output", "json"))
    cluster = config["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return httpx.Client(
        base_url=cluster["server"], verify=ssl.create_default_context(cadata=authority), trust_env=False
    )


def _build_pod(name: str, account: str) -> Manifest:
    """It never starts, and need not: a token is bound to the object."""
    container = {
        "name": "worker",
        "image": "none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "serviceAccountName": account,
        "schedulingGates": [{"name": f"{GROUP}/never"}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
