"""The dev cluster's control plane: whether it is whole. Used by the tests that hurt it."""

from dataclasses import replace
from typing import Any

from tests.support.kubectl import Kubectl

LONGEST_BACKOFF_SECONDS = 300
"""So long the kubelet may wait before it starts the API server again, when it was killed some times in a row."""


def is_whole(kubectl: Kubectl) -> bool:
    """Whether the API server is ready, and each pod of the control plane and of the release with it."""
    try:
        kubectl.run("get", "--raw", "/readyz")
        pods = [
            pod for place in ("kube-system", kubectl.namespace) for pod in replace(kubectl, namespace=place).list("pod")
        ]
    except AssertionError:
        return False
    return all(is_ready(pod) for pod in pods if not is_of_a_job(pod))


def is_of_a_job(pod: dict[str, Any]) -> bool:
    """Such a one may wait, and may end."""
    return any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))


def is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
