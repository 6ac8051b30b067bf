"""What the API server of the dev cluster has written down: who wrote which of our objects, call by call.

The kubelet hands the file out, so that nobody has to look into the node.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.kubectl import Kubectl

LOG = "/api/v1/nodes/{node}/proxy/logs/kubernetes/audit.log"
ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Write:
    """One request that the API server carried out or refused."""

    user: str
    """Without what is alike for all service accounts: namespace:name."""
    verb: str
    resource: str
    """With its subresource: transcriptionjobs/status."""
    name: str
    code: int
    body: dict[str, Any]
    """What was sent, where the policy keeps it."""


def read_writes(kubectl: Kubectl, namespace: str, name: str) -> list[Write]:
    """The writes of a transcription and of its Jobs, in the order they ended."""
    node = kubectl.list("node")[0]["metadata"]["name"]
    lines = kubectl.run("get", "--raw", LOG.format(node=node)).splitlines()
    return list(_parse([line for line in lines if f'"{name}' in line], namespace, name))


def _parse(lines: list[str], namespace: str, name: str) -> Iterator[Write]:
    for line in lines:
        event = json.loads(line)
        found = event["objectRef"]
        owner = found.get("name", "")
        if found.get("namespace") != namespace or (owner != name and owner.rpartition("-")[0] != name):
            continue
        yield Write(
            user=event["user"]["username"].removeprefix(ACCOUNT),
            verb=event["verb"],
            resource="/".join(filter(None, (found["resource"], found.get("subresource")))),
            name=owner,
            code=event["responseStatus"]["code"],
            body=event.get("requestObject") or {},
        )
