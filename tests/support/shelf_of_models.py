"""A folder of the dev node with models in it, and the claim that leads there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.kubectl import Kubectl, Manifest

PARENT = "/var/local"
CLAIM = "models"


@dataclass(frozen=True)
class ModelFolder:
    """Opened by `open_folder`; `image` is the worker's, which has the demo model."""

    place: Kubectl
    image: str

    @property
    def path(self) -> str:
        return f"{PARENT}/models-{self.place.namespace}"

    def put(self, name: str) -> None:
        """The demo model under another name, which no image has."""
        self.run("put", f"cp /models/demo.pt $FOLDER/{name}.pt")

    def run(self, what: str, script: str) -> None:
        """A script of root's on the node, by a pod."""
        pod = f"{what}-by-hand"
        self.place.create(build_pod(pod, self.image, f"FOLDER=/node/models-{self.place.namespace}; {script}"))
        self.place.wait(f"pod/{pod}", "jsonpath={.status.phase}=Succeeded", 60)
        self.place.delete("pod", pod)


def build_pod(name: str, image: str, script: str) -> Manifest:
    container = {
        "name": "hand",
        "image": image,
        "command": ["sh", "-euc", script],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "node", "mountPath": "/node"}],
    }
    volume = {"name": "node", "hostPath": {"path": PARENT, "type": "DirectoryOrCreate"}}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def build_claim(folder: ModelFolder) -> list[Manifest]:
    """A volume on that folder and the claim that is bound to it."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    name, namespace = folder.place.namespace, folder.place.namespace
    volume = {
        "capacity": {"storage": "1Gi"},
        "claimRef": {"namespace": namespace, "name": CLAIM},
        "hostPath": {"path": folder.path},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    claim = {"volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": common | volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": common | claim},
    ]


@contextmanager
def open_folder(place: Kubectl, image: str) -> Iterator[ModelFolder]:
    """Empty, and for everybody to write; it goes with the block."""
    folder = ModelFolder(place, image)
    folder.run("make", "mkdir -m 0777 $FOLDER")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": build_claim(folder)})
    place.run("create", "--filename=-", stdin=listed)
    try:
        yield folder
    finally:
        place.run("delete", "--filename=-", "--wait=false", stdin=listed)
        folder.run("remove", "rm -r $FOLDER")
