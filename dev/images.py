"""Our images: built from the checkout, tagged by what they are made of, pushed to the registry. Called by the commands.

A tag is a hash of the Dockerfile, of all that it copies and of the base image. So an image that the registry holds
needs no build, and a changed tag is what makes Helm roll the pods.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dev import archive, binaries, registry, state, versions
from dev.docker import Docker


@dataclass(frozen=True)
class Image:
    """One image: where its Dockerfile lies and what it is called."""

    name: str
    dockerfile: str
    about_seconds: int

    def repository(self) -> str:
        return f"{versions.REGISTRY}/transcription-{self.name}"


API = Image("api", "api/Dockerfile", 45)
CONTROLLER = Image("controller", "controller/Dockerfile", 45)
WORKER = Image("worker", "whisper-job-image/Dockerfile", 400)
S3 = Image("s3", "dev/s3/Dockerfile", 5)
PRODUCT = (API, CONTROLLER, WORKER)


def inputs(image: Image) -> dict[str, Path]:
    """The files an image is made of: path in the build context -> file."""
    root = state.checkout()
    if image is S3:
        return {"Dockerfile": root / image.dockerfile, "versitygw": binaries.path(binaries.VERSITYGW)}
    sources = copied(root / image.dockerfile)
    names = [str(path.relative_to(root)) for source in sources for path in sorted(root.glob(source.strip("/")))]
    return archive.files_under(root, image.dockerfile, *names)


def copied(dockerfile: Path) -> Iterable[str]:
    """What the COPY lines of a Dockerfile take from the build context."""
    text = dockerfile.read_text().replace("\\\n", " ")
    for arguments in re.findall(r"^\s*COPY\s+(.+)$", text, re.MULTILINE | re.IGNORECASE):
        words = arguments.split()
        if not any(word.startswith("--from=") for word in words):
            yield from [word for word in words if not word.startswith("--")][:-1]


def tag(docker: Docker, image: Image) -> str:
    """A hash of all that an image is made of."""
    files = sorted(inputs(image).items())
    names = [f"{name} {path.stat().st_mode & 0o100}" for name, path in files]
    base = docker.inspect(versions.BASE_IMAGE, "{{.Id}}") or ""
    return state.digest([path for _, path in files], base, *names)


def full_name(docker: Docker, image: Image) -> str:
    """The name under which nodes pull an image."""
    return f"{image.repository()}:{tag(docker, image)}"


def is_pushed(docker: Docker, image: Image) -> bool:
    """Whether the registry holds this very image, which makes a build needless."""
    return registry.has(full_name(docker, image))


def build_and_push(docker: Docker, image: Image) -> None:
    """Build an image and bring it to the registry, then forget its older versions."""
    files, name = inputs(image), full_name(docker, image)
    docker.build(name, files, "Dockerfile" if image is S3 else image.dockerfile)
    docker.run("push", name)
    docker.forget_others(name)
