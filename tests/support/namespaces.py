"""Namespaces of the tests' own, and an end to those of a run that was killed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from crds.transcriptionjob import PLURAL
from tests.support.kubectl import Kubectl
from tests.support.transcriptions import an_id

RUN_LABEL = "transcription.ecg.dev/test-run"
CLUSTER_KINDS = (
    "clusterroles",
    "flowschemas",
    "priorityclasses",
    "prioritylevelconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
)
"""What the chart makes outside of its namespace, but for the definition; each name begins with the namespace's."""


def mark() -> dict[str, str]:
    """The label of what belongs to this run: the id of its process."""
    return {RUN_LABEL: str(os.getpid())}


@contextmanager
def open_namespace(kubectl: Kubectl, purpose: str, labels: Mapping[str, str] | None = None) -> Iterator[Kubectl]:
    """An empty one, which nobody waits for in the end."""
    own = replace(kubectl, namespace=an_id(purpose))
    meta = {"name": own.namespace, "labels": mark() | dict(labels or {})}
    own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    try:
        yield own
    finally:
        own.run("delete", "namespace", own.namespace, "--ignore-not-found", "--wait=false")


def sweep(kubectl: Kubectl) -> None:
    """Delete what the killed runs of this machine have left: simulated nodes, and namespaces with all that they had."""
    for kind in ("namespaces", "nodes"):
        for found in kubectl.list(kind, RUN_LABEL):
            meta = found["metadata"]
            if not Path("/proc", meta["labels"][RUN_LABEL]).exists():
                if kind == "namespaces":
                    _empty(replace(kubectl, namespace=meta["name"]))
                kubectl.run("delete", kind, meta["name"], "--ignore-not-found", "--wait=false")


def _empty(gone: Kubectl) -> None:
    """Without finalizers and kubelets to wait for, which are gone too."""
    for kind in CLUSTER_KINDS:
        names = [found["metadata"]["name"] for found in gone.list(kind)]
        if mine := [name for name in names if name.startswith(f"{gone.namespace}.")]:
            gone.delete(kind, *mine)
    for found in gone.list(PLURAL):
        gone.patch(PLURAL, found["metadata"]["name"], {"metadata": {"finalizers": None}})
    gone.run("delete", f"{PLURAL},jobs,pods", "--all", "--force", "--grace-period=0", "--wait=false")
