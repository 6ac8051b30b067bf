"""The operators that the controller's benches and the soak run: ours and the peer, as processes of this machine.

Each has an account of its own in the namespace that it serves, as its pod would.
"""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.bench.door import Document, Door, opened
from tests.bench.harness import BenchError
from tests.bench.load import cpu_seconds

ACCOUNT = "operator"
TOKEN_SECONDS = 4 * 3600
STOP_SECONDS = 8
CALM_WITHIN_SECONDS, LOOK_SECONDS, IDLE_CPU_SECONDS, IDLE_LOOKS = 120, 0.5, 0.02, 3
GROUPS = ("", "apps", "batch", "coordination.k8s.io", "events.k8s.io", "transcription.ecg.dev")

OURS = ("-m", "controller")
PEER = ("-m", "kopf", "run", str(Path(__file__).with_name("peer_operator.py")))


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace with an operator's account in it, and the kubeconfig that the operator gets."""

    namespace: str
    kubeconfig: Document
    worker_pod: Document = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    def through(self, url: str) -> "Site":
        """The same behind a proxy, which brings the account's token and speaks plain HTTP."""
        config = json.loads(json.dumps(self.kubeconfig))
        config["clusters"][0]["cluster"] = {"server": url}
        return Site(self.namespace, config, self.worker_pod, self.settings)

    @property
    def server(self) -> str:
        return str(self.kubeconfig["clusters"][0]["cluster"]["server"])

    @property
    def authority(self) -> str:
        """The certificate that the API server is known by."""
        return base64.b64decode(self.kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]).decode()

    def environment(self, kubeconfig: Path) -> dict[str, str]:
        known = {
            "KUBECONFIG": str(kubeconfig),
            "CONTROLLER_NAMESPACE": self.namespace,
            "CONTROLLER_S3_BUCKET": "transcriptions",
            "CONTROLLER_S3_ENDPOINT": "http://127.0.0.1:9000",
            "CONTROLLER_WORKER_IMAGE": "localhost:5001/transcription-worker:bench",
            "CONTROLLER_WORKER_SERVICE_ACCOUNT": "default",
            "CONTROLLER_WORKER_POD": json.dumps(self.worker_pod),
            "CONTROLLER_HEALTH_PORT": str(free_port()),
            "CONTROLLER_METRICS_PORT": str(free_port()),
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        return os.environ | known | dict(self.settings)


class Operator:
    """A running process of a side."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, environment: Mapping[str, str]) -> None:
        self._process = process
        self._log = log
        self.environment = environment

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    @property
    def peak_bytes(self) -> int:
        return _memory(self.pid, "VmHWM")

    @property
    def resident_bytes(self) -> int:
        return _memory(self.pid, "VmRSS")

    def check(self) -> None:
        """BenchError when it has ended by itself."""
        if self._process.poll() is not None:
            raise BenchError(f"the operator ended with {self._process.returncode}:\n{self.last_words()}")

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-3_000:]

    async def calm_down(self) -> None:
        """Come back when it has done nothing for a while; BenchError when it does not rest."""
        async with asyncio.timeout(CALM_WITHIN_SECONDS):
            idle = 0
            while idle < IDLE_LOOKS:
                self.check()
                before = self.cpu_seconds
                await asyncio.sleep(LOOK_SECONDS)
                idle = idle + 1 if self.cpu_seconds - before <= IDLE_CPU_SECONDS else 0

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a lost node does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As the kubelet does."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running(program: tuple[str, ...], site: Site) -> Iterator[Operator]:
    """Its log goes to a file that is shown when it dies."""
    with tempfile.TemporaryDirectory() as folder:
        operator = start(program, site, Path(folder))
        try:
            yield operator
        finally:
            operator.stop()


def start(program: tuple[str, ...], site: Site, folder: Path) -> Operator:
    """`folder` keeps its kubeconfig and its log."""
    kubeconfig, log = folder / "kubeconfig", folder / "log"
    kubeconfig.write_text(json.dumps(site.kubeconfig))
    environment = site.environment(kubeconfig)
    words = [sys.executable, *program, *(("--namespace", site.namespace) if program == PEER else ())]
    with log.open("ab") as file:
        process = subprocess.Popen(words, env=environment, stdout=file, stderr=subprocess.STDOUT)
    return Operator(process, log, environment)


async def prepare_site(door: Door, namespace: str, worker_pod: Document | None = None, **settings: str) -> Site:
    """The namespace with the account, and a token of it."""
    await door.ensure_namespace(namespace)
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await door.send("POST", accounts, {"metadata": {"name": ACCOUNT}}, accepted=(201, 409))
    for path, manifest in _build_rights(namespace):
        await door.send("POST", f"/apis/rbac.authorization.k8s.io/v1{path}", manifest, accepted=(201, 409))
    asked = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
    _, answer = await door.send("POST", f"{accounts}/{ACCOUNT}/token", asked)
    config = _build_kubeconfig(namespace, answer["status"]["token"])
    return Site(namespace, config, worker_pod or {}, settings)


async def drop_site(door: Door, namespace: str) -> None:
    """The namespace begins to go, and the account's rights outside of it are gone."""
    await door.drop_namespace(namespace)
    for kind in ("clusterrolebindings", "clusterroles"):
        await door.send("DELETE", f"/apis/rbac.authorization.k8s.io/v1/{kind}/{namespace}", accepted=(200, 404))


@contextmanager
def dropped_afterwards(namespace: str) -> Iterator[None]:
    """For a bench whose rounds prepare the site themselves."""
    try:
        yield
    finally:
        asyncio.run(_drop(namespace))


async def _drop(namespace: str) -> None:
    async with opened() as door:
        await drop_site(door, namespace)


def _build_rights(namespace: str) -> Iterator[tuple[str, Document]]:
    """All in the namespace; outside of it what Kopf looks at by default, though ours does not ask for that."""
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    inside = [{"apiGroups": list(GROUPS), "resources": ["*"], "verbs": ["*"]}]
    looked_at = {"": "namespaces", "apiextensions.k8s.io": "customresourcedefinitions"}
    outside = [
        {"apiGroups": [group], "resources": [kind], "verbs": ["get", "list", "watch"]}
        for group, kind in looked_at.items()
    ]
    for path, kind, name, rules in (
        (f"/namespaces/{namespace}/role", "Role", ACCOUNT, inside),
        ("/clusterrole", "ClusterRole", namespace, outside),
    ):
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        yield f"{path}s", {"metadata": {"name": name}, "rules": rules}
        yield f"{path}bindings", {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}


async def empty(door: Door, namespace: str) -> None:
    """Jobs go first, so that nothing is left to the garbage collector."""
    for path in (f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}/events"):
        await door.send("DELETE", f"{path}?propagationPolicy=Background")
    await door.send("DELETE", f"/apis/transcription.ecg.dev/v1alpha1/namespaces/{namespace}/transcriptionjobs")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _build_kubeconfig(namespace: str, token: str) -> Document:
    """The cluster of KUBECONFIG, and another user."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    current = next(one["context"] for one in config["contexts"] if one["name"] == config["current-context"])
    cluster = next(one["cluster"] for one in config["clusters"] if one["name"] == current["cluster"])
    context = {"cluster": "cluster", "user": ACCOUNT, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "operator",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": "operator", "context": context}],
    }


def _memory(pid: int, field_name: str) -> int:
    """Bytes, from what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field_name}:")) * 1024
