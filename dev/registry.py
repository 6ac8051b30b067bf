"""A registry beside the cluster, as kind's documentation has it. Called by the commands and by images.

Docker pushes to it on 127.0.0.1; the node pulls from it over kind's network under the same image names.
"""

import hashlib
import json
import urllib.request
from collections.abc import Collection
from pathlib import Path

from dev import archive, state, versions
from dev.docker import Docker, EngineError, wait

FOLDER = Path(__file__).parent / "registry"
PRUNE_ABOVE = 8 * state.GIB
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
IN_NODE = f"/etc/containerd/certs.d/{versions.REGISTRY}"


def image() -> str:
    """The registry's own image, which is the one that cannot come from a registry."""
    return f"transcription-registry:{state.digest(sorted(FOLDER.iterdir()))}"


def build(docker: Docker) -> None:
    """Build the registry's image."""
    docker.build(image(), archive.files_under(FOLDER, "Dockerfile", "config.yml"), "Dockerfile")


def is_built(docker: Docker) -> bool:
    """Whether the registry's image is there."""
    return docker.inspect(image(), "{{.Id}}") is not None


def ensure_running(docker: Docker) -> None:
    """Start the registry when it does not answer, from scratch when it is broken or of another version."""
    if docker.inspect(versions.REGISTRY_CONTAINER, "{{.Config.Image}}") == image() and answers():
        return
    remove(docker)
    data = state.directory("registry")
    docker.run(
        "run",
        "-d",
        "--name",
        versions.REGISTRY_CONTAINER,
        "--restart=always",
        "-p",
        f"{address()}:5000",
        "-v",
        f"{data}:/var/lib/registry",
        image(),
    )
    if not wait(answers, 30):
        raise EngineError(f"the registry does not answer on {address()}")


def remove(docker: Docker) -> None:
    """Stop the registry; what it holds stays."""
    docker.succeeds("rm", "-f", versions.REGISTRY_CONTAINER)


def connect(docker: Docker) -> None:
    """Put the registry on kind's network and tell the node's containerd where to find it."""
    docker.succeeds("network", "connect", versions.NETWORK, versions.REGISTRY_CONTAINER)
    hosts = f'[host."http://{versions.REGISTRY_CONTAINER}:5000"]\n'
    write = f"mkdir -p {IN_NODE} && cat > {IN_NODE}/hosts.toml"
    docker.output("exec", "-i", versions.NODE, "sh", "-c", write, stdin=hosts)


def address() -> str:
    """Where the registry listens on the host."""
    return versions.REGISTRY.replace("localhost", "127.0.0.1")


def answers() -> bool:
    """Whether the registry is up."""
    return get("/v2/") is not None


def has(image: str) -> bool:
    """Whether the registry holds an image, and all the layers that its manifest names."""
    repository, tag = image.removeprefix(f"{versions.REGISTRY}/").split(":")
    manifest = get(f"/v2/{repository}/manifests/{tag}")
    if manifest is None:
        return False
    parts = [part["digest"] for part in [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]]
    return all(get(f"/v2/{repository}/blobs/{digest}", "HEAD") is not None for digest in parts)


def get(path: str, method: str = "GET") -> bytes | None:
    """What the registry answers, or None when it has no such thing or does not answer."""
    request = urllib.request.Request(f"http://{address()}{path}", method=method, headers={"Accept": MANIFESTS})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- the address is fixed, and http
            return bytes(answer.read())
    except OSError:
        return None


def prune(docker: Docker, kept: Collection[str]) -> None:
    """Give back the disk of images that this checkout does not use, once there is much of it."""
    if sum(path.stat().st_size for path in state.directory("registry").rglob("data")) < PRUNE_ABOVE:
        return
    for repository in json.loads(get("/v2/_catalog") or b"{}").get("repositories", []):
        for tag in json.loads(get(f"/v2/{repository}/tags/list") or b"{}").get("tags") or []:
            if f"{versions.REGISTRY}/{repository}:{tag}" not in kept:
                forget(repository, tag)
    docker.run("exec", versions.REGISTRY_CONTAINER, "docker-registry", "garbage-collect", "/etc/registry.yml")
    docker.run("restart", versions.REGISTRY_CONTAINER)  # it remembers layers that are gone now
    wait(answers, 30)


def forget(repository: str, tag: str) -> None:
    """Remove an image's manifest; its layers go with the next collection."""
    if manifest := get(f"/v2/{repository}/manifests/{tag}"):
        get(f"/v2/{repository}/manifests/sha256:{hashlib.sha256(manifest).hexdigest()}", "DELETE")
