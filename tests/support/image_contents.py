"""What an image holds, looked at from inside it: run there by its own Python, it prints one JSON document."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

SKIPPED = ("/proc", "/sys", "/dev", "/opt/venv/lib")


def walk(top: str = "/") -> Iterator[os.DirEntry[str]]:
    """All files but those of the kernel and of Python packages."""
    with os.scandir(top) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif not entry.path.startswith(SKIPPED):
                yield from walk(entry.path)


def look() -> dict[str, list[str]]:
    """Run as root, so that no folder is closed."""
    files = [(entry.path, entry.stat(follow_symlinks=False).st_mode) for entry in walk()]
    return {
        "programs": sorted({Path(path).name for path, mode in files if mode & stat.S_IXUSR}),
        "of_more_rights": [path for path, mode in files if mode & (stat.S_ISUID | stat.S_ISGID)],
        "caches": [path for path, _ in files if path.startswith(("/var/lib/apt/lists/", "/var/cache/apt/"))],
        "packages": sorted(path.name for path in Path(sys.prefix).glob("lib/python*/site-packages/*")),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look()))
