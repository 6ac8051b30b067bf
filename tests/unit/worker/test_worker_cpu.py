"""What a container may use, from files like the kernel's."""

import os
from pathlib import Path

import pytest

from worker.cpu import count_cpus, count_free_bytes, pick_cpus

GIB = 1024**3


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node with 8 GiB left."""
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n")
    return path


def limit(cgroups: Path, **files: object) -> None:
    for name, value in files.items():
        (cgroups / name.replace("_", ".", 1)).write_text(f"{value}\n")


def test_memory_is_the_nodes_where_there_is_no_limit(tmp_path: Path, node: Path) -> None:
    assert count_free_bytes(tmp_path, node) == 8 * GIB
    limit(tmp_path, memory_max="max", memory_current=5)
    assert count_free_bytes(tmp_path, node) == 8 * GIB


def test_memory_is_what_the_limit_leaves(tmp_path: Path, node: Path) -> None:
    limit(tmp_path, memory_max=4 * GIB, memory_current=3 * GIB)
    assert count_free_bytes(tmp_path, node) == GIB
    limit(tmp_path, memory_max=40 * GIB)
    assert count_free_bytes(tmp_path, node) == 8 * GIB, "the node has no more"
    limit(tmp_path, memory_max=2 * GIB)
    assert count_free_bytes(tmp_path, node) == 0


def test_pages_of_a_file_read_once_count_as_free(tmp_path: Path, node: Path) -> None:
    limit(tmp_path, memory_max=4 * GIB, memory_current=4 * GIB)
    limit(tmp_path, memory_stat=f"anon 9\ninactive_file {3 * GIB}\nactive_file 7")
    assert count_free_bytes(tmp_path, node) == 3 * GIB


def test_nothing_is_free_where_nothing_is_known(tmp_path: Path) -> None:
    assert count_free_bytes(tmp_path, tmp_path / "meminfo") == 0


@pytest.mark.parametrize(("quota", "wanted"), [("50000 100000", 1), ("100000 100000", 1)])
def test_cpus_are_those_of_the_limit(tmp_path: Path, quota: str, wanted: int) -> None:
    limit(tmp_path, cpu_max=quota)
    assert count_cpus(tmp_path) == wanted


def test_cpus_are_all_of_them_where_there_is_no_limit(tmp_path: Path) -> None:
    available = len(os.sched_getaffinity(0))
    assert count_cpus(tmp_path) == available
    limit(tmp_path, cpu_max="max 100000")
    assert count_cpus(tmp_path) == available


def test_programs_at_once_get_a_cpu_each() -> None:
    allowed = os.sched_getaffinity(0)
    picked = pick_cpus(len(allowed))
    assert set(picked) == allowed


def test_programs_stay_free_when_there_are_more_of_them_than_cpus() -> None:
    count = len(os.sched_getaffinity(0)) + 1
    assert pick_cpus(count) == [None] * count
