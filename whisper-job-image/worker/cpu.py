"""How many CPUs and how much memory this container may use, which torch does not know. Called by the engine."""

import os
import random
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMORY = Path("/proc/meminfo")


def count_cpus(cgroups: Path = CGROUPS) -> int:
    """The CPU limit, rounded up; all CPUs of this process where there is none."""
    available = len(os.sched_getaffinity(0))
    quota, period = _read_limit(cgroups)
    return max(1, min(available, -(-quota // period))) if quota > 0 and period > 0 else available


def pick_cpus(count: int) -> list[int | None]:
    """So many different CPUs for programs that run at once, by chance: pods of one node do not all pick the first.

    None for each where there are fewer.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < count:
        return [None] * count
    return list(random.sample(cpus, count))


def pin(pid: int, cpu: int) -> None:
    """Keep a program that was just started on one CPU: for its threads, which hand small pieces on, that is quicker."""
    with suppress(OSError):  # it has ended, or the CPU has left us
        os.sched_setaffinity(pid, {cpu})


def count_free_bytes(cgroups: Path = CGROUPS, memory: Path = MEMORY) -> int:
    """Memory that is left under the limit, and on the node."""
    on_node = 1024 * _find(_read(memory), "MemAvailable:")
    limit, used = _read(cgroups / "memory.max"), _read(cgroups / "memory.current")
    if not (limit.isdigit() and used.isdigit()):
        return on_node
    given_back_when_asked = _find(_read(cgroups / "memory.stat"), "inactive_file")  # pages of files read once
    return min(on_node, max(0, int(limit) - int(used) + given_back_when_asked))


def _find(text: str, name: str) -> int:
    """The number after a name; 0 where it is missing."""
    words = text.split()
    return int(words[words.index(name) + 1]) if name in words else 0


def _read_limit(cgroups: Path) -> tuple[int, int]:
    """Microseconds of CPU time per period; (0, 0) for no limit. cgroup v2, else v1."""
    try:
        quota, _, period = (cgroups / "cpu.max").read_text().strip().partition(" ")
    except OSError:
        quota, period = _read(cgroups / "cpu/cpu.cfs_quota_us"), _read(cgroups / "cpu/cpu.cfs_period_us")
    return (int(quota), int(period)) if quota.isdigit() and period.isdigit() else (0, 0)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
