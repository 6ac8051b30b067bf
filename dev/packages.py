"""Debian packages that the host needs. Called by the commands that bring something up, before their first step."""

import shutil

from dev import process

# program -> the Debian package that brings it
EVERYWHERE = {
    "curl": "curl",
    "jq": "jq",
    "ffmpeg": "ffmpeg",
    "espeak-ng": "espeak-ng",
}
BARE = {"dockerd": "docker.io", "docker": "docker.io", "debootstrap": "debootstrap", "iptables": "iptables"}


def missing(programs: dict[str, str]) -> list[str]:
    """The packages of those programs that the host does not have."""
    path = process.environment()["PATH"]
    return sorted({package for program, package in programs.items() if shutil.which(program, path=path) is None})


def install(programs: dict[str, str]) -> None:
    """Install what is missing, with one look at the package lists."""
    packages = missing(programs)
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise process.ProgramError(f"please install {' '.join(packages)}: this host has no apt-get")
    process.run("apt-get", "update")
    process.run("apt-get", "install", "-y", "--no-install-recommends", *packages)
