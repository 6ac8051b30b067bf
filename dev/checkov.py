"""checkov, which looks over what the chart makes: in an environment of its own, since it pins an old boto3.

Called by the commands. The environment is kept in the machine's state under the hash of its lock file.
"""

import shutil
import sys
from pathlib import Path

from dev import python, state

LOCK = "checkov"
ABOUT_SECONDS = 60


def folder() -> Path:
    """Where the environment of this lock file lies."""
    lock_file = state.checkout() / "requirements" / f"{LOCK}.txt"
    return state.root() / "checkov" / state.digest([lock_file], sys.version)


def is_built() -> bool:
    """Whether the environment of this lock file is there, whole."""
    return (folder() / "complete").exists()


def build() -> None:
    """Make the environment."""
    state.directory("checkov")
    python.make(folder(), LOCK)


def publish() -> None:
    """Copy its command, which names its interpreter by the whole path, into the checkout's `.dev/bin`."""
    target = state.local("bin", "checkov")
    fresh = target.with_suffix(".new")
    shutil.copy2(folder() / "bin/checkov", fresh)
    fresh.replace(target)
