"""Simulated nodes on the real control plane: kwok plays their kubelets. Used by the soak and by controller_life.

A taint keeps all pods away that do not ask for these nodes, and without a label for their operating system no
DaemonSet wants them.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.bench.door import Document, Door
from tests.bench.harness import BenchError

MARK = "kwok.x-k8s.io/node"
LEASE_SECONDS = 80
READY_SECONDS = 60
GPUS = 4
STAGES = Path(__file__).with_name("stages.yaml")
WORKER_POD: Document = {
    "nodeSelector": {MARK: "fake"},
    "tolerations": [{"key": MARK, "operator": "Exists", "effect": "NoSchedule"}],
}
"""Sends a worker's pod to these nodes and nowhere else."""


@asynccontextmanager
async def simulated_nodes(door: Door, count: int) -> AsyncIterator[None]:
    """So many nodes are Ready while the block runs; no other kwok may be running."""
    names = [f"simulated-{number}" for number in range(count)]
    with _kubelets():
        try:
            await door.send("DELETE", f"/api/v1/nodes?labelSelector={MARK}=fake")  # those of a run that was killed
            for name in names:
                await door.send("POST", "/api/v1/nodes", build_node(name), accepted=(201, 409))
            await _wait_until_held(door, names)
            yield
        finally:
            for name in names:
                await door.send("DELETE", f"/api/v1/nodes/{name}", accepted=(200, 404))


def build_node(name: str) -> Document:
    """Room for as many pods as there are GPUs, and some more."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "2Ti", "nvidia.com/gpu": str(GPUS)}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {MARK: "fake"},
            "labels": {MARK: "fake", "kubernetes.io/hostname": name},
        },
        "spec": {"taints": [{"key": MARK, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }


@contextmanager
def _kubelets() -> Iterator[None]:
    program = shutil.which("kwok")
    if program is None:
        raise BenchError("there is no kwok in .dev/bin: make bench and make soak build it")
    words = [
        program,
        f"--kubeconfig={os.environ['KUBECONFIG']}",
        f"--config={STAGES}",
        f"--manage-nodes-with-annotation-selector={MARK}=fake",
        f"--node-lease-duration-seconds={LEASE_SECONDS}",
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
            if process.poll() is not None:
                log.seek(0)
                raise BenchError(f"kwok ended with {process.returncode}: {log.read()[-2_000:]!r}")
        finally:
            process.terminate()
            process.wait()


async def _wait_until_held(door: Door, names: list[str]) -> None:
    """kwok plays a node once it holds its lease."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            leases = await door.list("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
            if {one["metadata"]["name"] for one in leases if one["spec"].get("holderIdentity")} >= set(names):
                return
            await asyncio.sleep(0.5)
