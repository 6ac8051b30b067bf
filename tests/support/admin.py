"""The API server over one connection, as an administrator: quicker than a kubectl process for every look."""

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx

from crds.transcriptionjob import API_VERSION, PLURAL
from tests.support.kubectl import Kubectl, Manifest

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
HOMES = {
    PLURAL: f"/apis/{API_VERSION}",
    "jobs": "/apis/batch/v1",
    "events": "/apis/events.k8s.io/v1",
}


@dataclass(frozen=True)
class Admin:
    """One namespace; objects by the plural of their kind."""

    client: httpx.Client
    namespace: str

    def call(self, method: str, path: str, body: Any = None, form: str = MERGE) -> httpx.Response:
        """Any request, whatever the answer."""
        headers = {"content-type": form if method == "PATCH" else "application/json"}
        return self.client.request(method, path, headers=headers, content=json.dumps(body) if body else None)

    def ask(self, method: str, path: str, body: Any = None, form: str = MERGE) -> Manifest:
        """A request that must succeed."""
        answer = self.call(method, path, body, form)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        document: Manifest = answer.json()
        return document

    def path(self, plural: str, name: str = "") -> str:
        return f"{HOMES.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, plural: str, name: str) -> Manifest | None:
        """One object, or None when there is none of that name."""
        answer = self.call("GET", self.path(plural, name))
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.is_success else None

    def list(self, plural: str, selector: str = "") -> list[Manifest]:
        query = httpx.QueryParams(labelSelector=selector)
        items: list[Manifest] = self.ask("GET", f"{self.path(plural)}?{query}")["items"]
        return items

    def create(self, plural: str, manifest: Manifest) -> Manifest:
        return self.ask("POST", self.path(plural), manifest)

    def patch(self, plural: str, name: str, change: Manifest, form: str = MERGE) -> Manifest:
        return self.ask("PATCH", self.path(plural, name), change, form)

    def delete(self, plural: str, name: str, grace_seconds: int | None = None) -> None:
        """Ask for its deletion; nothing happens when there is none of that name."""
        options: Manifest = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        answer = self.call("DELETE", self.path(plural, name), options)
        assert answer.is_success or answer.status_code == 404, answer.text


def connect(kubectl: Kubectl) -> httpx.Client:
    """With the client certificate of the kubeconfig."""
    config = json.loads(kubectl.run("config", "view", "--raw", "--minify", "--output", "json"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cadata=_decode(cluster["certificate-authority-data"]))
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "pair.pem"
        pair.write_text(_decode(user["client-certificate-data"]) + _decode(user["client-key-data"]))
        trust.load_cert_chain(pair)
    return httpx.Client(base_url=cluster["server"], verify=trust, trust_env=False, timeout=30)


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()
