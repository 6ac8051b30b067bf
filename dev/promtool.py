"""promtool, which the tests of the chart's alerts run: taken out of Debian's package, whose server nobody here wants.

Called by the commands. It is kept in the machine's state under its version, as the built programs are.
"""

import os
import shutil
from pathlib import Path

from dev import process, state, versions

PACKAGE = "prometheus"
ABOUT_SECONDS = 10


def path() -> Path:
    """Where the program of this very version lies."""
    return state.root() / "bin" / f"promtool-{versions.PROMETHEUS}" / "promtool"


def is_there() -> bool:
    """Whether it was taken out already, or the host has one of its own, which the tests then find."""
    return path().exists() or shutil.which("promtool", path=process.environment()["PATH"]) is not None


def bring() -> None:
    """Fetch the package and take the one program out, beside the final place and renamed at the end."""
    if shutil.which("apt-get") is None:
        raise process.ProgramError("please install promtool: this host has no apt-get")
    folder, fresh = path().parent, path().parent.with_name(f"promtool-new.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    process.run("apt-get", "update")
    # Debian keeps one build of a version at a time: its security updates change what comes after the plus.
    process.run("apt-get", "download", f"{PACKAGE}={versions.PROMETHEUS}*", cwd=fresh)
    take_out(fresh)
    fresh.rename(folder)
    for older in folder.parent.glob("promtool-*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)


def take_out(folder: Path) -> None:
    """Leave nothing of the package there but the program."""
    (package,) = folder.glob("*.deb")
    process.run("dpkg-deb", "--extract", package, folder / "content")
    (folder / "content/usr/bin/promtool").rename(folder / "promtool")
    shutil.rmtree(folder / "content")
    package.unlink()


def publish() -> None:
    """Copy it into the checkout's `.dev/bin`, unless the host's own is used."""
    if not path().exists():
        return
    target = state.local("bin", "promtool")
    fresh = target.with_suffix(".new")
    shutil.copy2(path(), fresh)
    fresh.replace(target)
