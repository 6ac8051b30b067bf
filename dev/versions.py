"""Names and versions that the dev cluster is made of. Read by every module of `dev`.

The version of a tool built with Go stands in its own `tools/<tool>/go.mod` and is read from there.
"""

import re
from functools import cache

from dev import state

DEBIAN = "trixie"
BASE_IMAGE = f"debian:{DEBIAN}-slim"

PROMETHEUS = "2.42.0"
"""That of Debian 12's package."""

CLUSTER = "transcription"
NODE = f"{CLUSTER}-control-plane"
NETWORK = "kind"

REGISTRY = "localhost:5001"
REGISTRY_CONTAINER = "transcription-registry"

NAMESPACE = "transcription"
RELEASE = "transcription"

API_PORT, API_NODE_PORT = 8080, 30080
S3_PORT, S3_NODE_PORT = 9000, 30900
S3_ENDPOINT = f"http://127.0.0.1:{S3_PORT}"
S3_REGION = "us-east-1"
BUCKET = "transcriptions"

GPUS = 2


@cache
def of_module(tool: str, module: str) -> str:
    """The version of a Go module that a tool's go.mod requires, such as `v1.35.4`."""
    text = (state.checkout() / "dev/tools" / tool / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"dev/tools/{tool}/go.mod does not require {module}")
    return found[1]


def kubernetes() -> str:
    """The Kubernetes version of binaries and of the node image built here."""
    return of_module("kubernetes", "k8s.io/kubernetes")
