"""Where things live: one fixed directory of the machine, and `.dev/` in the checkout. Used by every module.

What is costly (Docker's data, binaries, virtual environments, S3 data) outlives the checkout, so that a clone
may be deleted and the next one takes the running cluster over. `.dev/` holds copies only.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

GIB = 1 << 30


class StateError(Exception):
    """The machine's directory cannot be used."""


def checkout() -> Path:
    """The root of this clone."""
    return Path(__file__).resolve().parent.parent


def root() -> Path:
    """The machine's directory, the same for every clone."""
    return Path(os.environ.get("TRANSCRIPTION_DEV_STATE", "/var/lib/transcription-dev"))


def directory(*parts: str) -> Path:
    """A directory of the machine's state, made when it is missing."""
    path = root().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise StateError(f"cannot make {path}: run as root, or set TRANSCRIPTION_DEV_STATE") from error
    return path


def local(*parts: str) -> Path:
    """A path under the checkout's `.dev/`, whose folder is made when it is missing."""
    path = checkout().joinpath(".dev", *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def digest(paths: Iterable[Path], *words: str) -> str:
    """A short key that changes with the content of the files and with the words."""
    total = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


@contextmanager
def lock() -> Iterator[None]:
    """Let one run at a time change the machine; the kernel frees the lock when its holder dies."""
    with (directory() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another run of dev on this machine to end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# What a part of the state takes once it is there; a part that is missing must still fit.
_PARTS = {"docker": 19, "bin": 1, "go": 5, "registry": 4, "venv": 1}


def check_disk() -> None:
    """Fail before the first long step when what is still to be made does not fit."""
    missing = [size for part, size in _PARTS.items() if not (root() / part).exists()]
    if (root() / "bin").exists() and 5 in missing:
        missing.remove(5)  # the Go caches are dropped once the binaries are there
    needed, free = max(2, sum(missing)), shutil.disk_usage(directory()).free / GIB
    if free < needed:
        raise StateError(
            f"{root()} needs {needed} GiB of free disk, {free:.1f} GiB are free: "
            "free some, or let TRANSCRIPTION_DEV_STATE name a place with more"
        )
