"""kubectl with the admin's credentials, for the modules that look after the cluster.

Those are cluster, storage, keys and release.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from dev import binaries, process, state


def kubeconfig() -> Path:
    """The master copy; a checkout has its own in `.dev/`."""
    return state.root() / "kubeconfig"


def env() -> dict[str, str]:
    """What a program needs in its environment to talk to the cluster."""
    return process.environment(KUBECONFIG=str(kubeconfig()))


def output(*words: process.Word, stdin: str | None = None, timeout_seconds: float = 180) -> str:
    """Run kubectl and return what it printed."""
    return process.output(
        binaries.path(binaries.KUBECTL), *words, env=env(), stdin=stdin, timeout_seconds=timeout_seconds
    )


def succeeds(*words: process.Word, timeout_seconds: float = 30) -> bool:
    """Run kubectl and say whether it reported success."""
    return process.succeeds(binaries.path(binaries.KUBECTL), *words, env=env(), timeout_seconds=timeout_seconds)


def apply(manifests: str) -> None:
    """Apply manifests as their one owner."""
    output("apply", "--server-side", "--force-conflicts", "--field-manager=dev", "-f", "-", stdin=manifests)


def apply_secret(namespace: str, name: str, values: Mapping[str, str]) -> None:
    """Create a Secret or bring it up to date."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "dev"}}
    apply(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}))


def apply_namespace(name: str) -> None:
    """Create a namespace that enforces the restricted Pod Security Standard."""
    labels = {"app.kubernetes.io/managed-by": "dev", "pod-security.kubernetes.io/enforce": "restricted"}
    apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
