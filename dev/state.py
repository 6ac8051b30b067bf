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


COLD_GIB, SECOND_GIB, WARM_GIB = 30, 10, 3
"""What is needed for nothing there yet, for another Kubernetes beside the first, for a change of code."""


def complete(kubernetes: str) -> Path:
    """A file that is there once everything has been brought up on this machine, on the newest or on the oldest."""
    return directory() / ("complete" if kubernetes == "newest" else f"complete-{kubernetes}")


def check_disk(kubernetes: str) -> None:
    """Fail before the first long step when what is still to be made does not fit."""
    needed = needed_gib(kubernetes)
    free = shutil.disk_usage(directory()).free / GIB
    if free < needed:
        raise StateError(
            f"{root()} needs {needed:.0f} GiB of free disk, {free:.1f} GiB are free: "
            "free some, or let TRANSCRIPTION_DEV_STATE name a place with more"
        )


def needed_gib(kubernetes: str) -> float:
    """How much disk must be free; what a first run has made before it was killed counts."""
    if complete(kubernetes).exists():
        return WARM_GIB
    if any(directory().glob("complete*")):
        return SECOND_GIB
    done = sum(path.lstat().st_blocks * 512 for path in root().rglob("*"))
    return max(WARM_GIB, COLD_GIB - done / GIB)
