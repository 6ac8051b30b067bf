"""Fills a folder with checkpoints, for workers that never download one. Run by the chart's Job for models."""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from crds.reasons import ExitCode
from worker.errors import WorkerError

INSTALLED = Path("/models")

Find = Callable[[str, Path, Path], Path]
"""A model's name, where those of the image are, where a download goes: the file. A WorkerError when there is none."""


def keep(name: str, folder: Path, find: Find) -> Path:
    """The model's file in the folder; whole under its name or not at all, since workers may be looking."""
    path, part = folder / f"{name}.pt", folder / ".part"
    if not path.exists():
        found = find(name, INSTALLED, part)
        if found.parent != part:
            part.mkdir(exist_ok=True)
            found = Path(shutil.copyfile(found, part / path.name))
        found.replace(path)
    return path


def run(names: Sequence[str], folder: Path, find: Find, say: Callable[[str], object]) -> int:
    """Keep all of them; the exit code."""
    for name in names:
        try:
            path = keep(name, folder, find)
        except WorkerError as error:
            say(f"{name}: {error.fault.message} ({error})\n")
            return error.exit_code
        except OSError as error:
            say(f"{name}: The volume cannot be written: {error}\n")
            return ExitCode.INTERNAL
        say(f"{path} has {path.stat().st_size} bytes\n")
    return ExitCode.DONE


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 0 when all models are there."""
    parser = argparse.ArgumentParser(prog="worker.warm_up", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+")
    asked = parser.parse_args(words)
    from worker.engine.loading import find_checkpoint

    return run(asked.models, asked.folder, find_checkpoint, sys.stderr.write)


if __name__ == "__main__":
    sys.exit(main())
