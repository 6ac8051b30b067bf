"""Names and versions that the dev cluster is made of. Read by every module of `dev`.

The version of a tool built with Go stands in its own `tools/<tool>/go.mod` and is read from there; what the oldest
Kubernetes that we support is made of, in `tools/oldest/`. The variable KUBERNETES says which of the two is meant.
"""

import os
import re
from functools import cache
from pathlib import Path

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

NEWEST, OLDEST = "newest", "oldest"
"""Of the Kubernetes that we support and test on."""

PUBLISHED_OLDEST = "kindest/node:v1.32.11@sha256:5fc52d52a7b9574015299724bd68f183702956aa4a2116ae75a63cb574b35af8"
"""Where images can be pulled; for the newest, kind itself names the image that was made for it."""


def chosen() -> str:
    """Which Kubernetes this run is about: the newest, unless the variable KUBERNETES names the oldest."""
    name = os.environ.get("KUBERNETES") or NEWEST
    if name not in (NEWEST, OLDEST):
        raise state.StateError(f"KUBERNETES is {NEWEST} or {OLDEST}, not {name}")
    return name


def choose(name: str) -> None:
    """Let this run, and all programs that it starts, be about the newest or the oldest."""
    os.environ["KUBERNETES"] = name


def tools() -> Path:
    """Where the go.mod of each tool lies, in a folder of its name."""
    return state.checkout() / "dev/tools"


def tool_folder(tool: str) -> Path:
    """The folder of a tool's go.mod: for the oldest Kubernetes one of its own, where the tool differs."""
    own = tools() / OLDEST / tool
    return own if chosen() == OLDEST and own.exists() else tools() / tool


def of_module(tool: str, module: str) -> str:
    """The version of a Go module that a tool's go.mod requires, such as `v1.35.4`."""
    return read_version(tool_folder(tool) / "go.mod", module)


@cache
def read_version(go_mod: Path, module: str) -> str:
    """The version of a module that a go.mod requires."""
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{go_mod} does not require {module}")
    return found[1]


def kubernetes() -> str:
    """The Kubernetes version of binaries and of the node image built here."""
    return of_module("kubernetes", "k8s.io/kubernetes")
