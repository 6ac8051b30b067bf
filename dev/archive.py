"""Build contexts for Docker: which files an image is made of, and a tar of just those. Used by docker and images.

Times, owners and a checkout's umask are left out, so that two clones of one commit give one image.
"""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

IGNORED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def files_under(root: Path, *names: str) -> dict[str, Path]:
    """All files that some files and folders of a root are made of: path in the context -> file."""
    found: dict[str, Path] = {}
    for name in names:
        for path in sorted((root / name).rglob("*") if (root / name).is_dir() else [root / name]):
            relative = path.relative_to(root)
            if not path.is_dir() and not IGNORED & set(relative.parts):
                found[str(relative)] = path
    return found


def pack(files: Mapping[str, Path], target: IO[bytes]) -> None:
    """Write files into a tar that does not depend on the checkout it came from."""
    with tarfile.open(fileobj=target, mode="w", dereference=True) as tar:
        for name, path in sorted(files.items()):
            tar.add(path, arcname=name, recursive=False, filter=without_origin)


def without_origin(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """A tar entry with nothing of the checkout in it but content and the executable bit."""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    return entry
