"""Running other programs. Every module that starts one does it here.

What a program says goes to a file of `logs/`, named after it; a failure shows its last lines.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dev import state

Word = str | Path


class ProgramError(Exception):
    """A program ended with a failure; the message says which, and its last words."""


def environment(**extra: str) -> dict[str, str]:
    """The caller's environment, with the places where Debian and Go keep their programs."""
    path = ":".join([os.environ.get("PATH", ""), "/usr/local/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return {**os.environ, "PATH": path, "DEBIAN_FRONTEND": "noninteractive", **extra}


def run(
    *words: Word, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> None:
    """Run a program to its end, its output in a log."""
    with log_of(*words).open("wb") as log:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env or environment(),
            input=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL if stdin is None else None,
            check=False,
        )
    if done.returncode:
        raise ProgramError(f"{shown(*words)}: exit code {done.returncode}\n{last_lines(log_of(*words))}")


def output(
    *words: Word, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout_seconds: float = 120
) -> str:
    """Run a program and return what it printed."""
    try:
        done = subprocess.run(
            words,
            env=env or environment(),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{shown(*words)}: no end within {timeout_seconds:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise ProgramError(f"{shown(*words)}: exit code {error.returncode}\n{error.stderr.strip()}") from error
    return done.stdout.strip()


def succeeds(*words: Word, env: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> bool:
    """Whether a program is there, ends in time and reports success."""
    try:
        output(*words, env=env, timeout_seconds=timeout_seconds)
    except (ProgramError, FileNotFoundError):
        return False
    return True


def show(*words: Word, env: Mapping[str, str] | None = None) -> None:
    """Run a program on the caller's own terminal, for those whose output is the point."""
    done = subprocess.run(words, cwd=state.checkout(), env=env or environment(), check=False)
    if done.returncode:
        raise ProgramError(f"{shown(*words)}: exit code {done.returncode}")


def log_of(*words: Word) -> Path:
    """The log of a command line, such as `docker-build.log`."""
    names = [Path(words[0]).name] + [str(word) for word in words[1:2] if str(word).isalpha()]
    return state.directory("logs") / ("-".join(names) + ".log")


def last_lines(log: Path, count: int = 25) -> str:
    """The end of a log, for a message about a failure."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def shown(*words: Word) -> str:
    """A command line short enough for a message."""
    line = " ".join(str(word) for word in words)
    return line if len(line) < 160 else line[:157] + "..."
