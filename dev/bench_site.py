"""Python packages that a bench's peers need in the worker's image, in a folder to mount. Called by the benches.

They are kept in the machine's state under the hash of their lock file, and never enter the image.
"""

import shutil
import sys
from pathlib import Path

from dev import process, state

IMAGE_PYTHON = "3.13"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def folder() -> Path:
    """The folder of this lock file, made when it is missing."""
    lock_file = state.checkout() / "requirements/bench.txt"
    home = state.root() / "bench-site" / state.digest([lock_file], IMAGE_PYTHON)
    if not (home / "complete").exists():
        _install(lock_file, home)
    return home


def _install(lock_file: Path, home: Path) -> None:
    shutil.rmtree(home.parent, ignore_errors=True)
    home.mkdir(parents=True)
    wheels = ["--only-binary=:all:", f"--python-version={IMAGE_PYTHON}", "--implementation=cp"]
    wheels += [f"--platform={platform}" for platform in PLATFORMS]
    # what the image has, too, such as numpy, is found there first
    process.run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--require-hashes", "--no-deps"),
        *(*wheels, f"--target={home}", "-r", str(lock_file)),
    )
    (home / "complete").touch()
