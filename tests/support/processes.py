"""Processes of pods, seen from outside: those of the dev node are this machine's."""

import os
import signal
from pathlib import Path

import pytest


def kill_processes(mark: str) -> None:
    """SIGKILL for all that have this in their environment, as by the kernel when memory is short."""
    pids = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/environ")
        if mark.encode() in _read(path).split(b"\0")
    ]
    if not pids:
        pytest.skip("the node's processes cannot be seen from here")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def read_in_process(name: str, path: str) -> bytes:
    """A file as a process of that name sees it."""
    for command in Path("/proc").glob("[0-9]*/comm"):
        file = command.parent / "root" / path.lstrip("/")
        if _read(command).strip() == name.encode() and file.exists():
            return file.read_bytes()
    pytest.skip("the node's processes cannot be seen from here")


def find_children() -> list[int]:
    """Programs that threads of this process have started, those of other tests too."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended just now, or it is not ours to look into
        return b""


def kill_program(program: str, address: str) -> None:
    """SIGKILL for the part of the dev cluster's control plane that has this name; its node has that address."""
    pids = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _is(path, program, address)]
    if not pids:
        pytest.skip("the node's processes cannot be seen from here")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _is(cmdline: Path, program: str, address: str) -> bool:
    words = _read(cmdline).decode(errors="replace").split("\0")
    return words[0].rpartition("/")[2] == program and any(address in word for word in words[1:])
