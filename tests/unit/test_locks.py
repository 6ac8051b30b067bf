"""The worker's two locks are one: the same packages, but for PyTorch and what its CUDA build alone needs."""

import re
from collections.abc import Mapping
from pathlib import Path

LOCKS = Path(__file__).parents[2] / "requirements"
PIN = re.compile(r"^([a-z0-9-]+)==(\S+?)(?: ;.*?)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def pins(name: str) -> Mapping[tuple[str, str], str]:
    """Package and version -> its hashes."""
    return {(package, version): hashes for package, version, hashes in PIN.findall((LOCKS / name).read_text())}


def test_only_cuda_is_left_out_when_the_worker_is_for_the_cpu() -> None:
    whole, cpu = pins("worker.txt"), pins("worker-cpu.txt")
    assert len(cpu) > 30
    assert cpu.items() <= whole.items()
    left_out = {name for name, _ in whole.keys() - cpu.keys()}
    assert {name for name in left_out if not name.startswith(("nvidia-", "cuda-"))} == {"torch", "triton"}


def test_both_workers_have_one_version_of_torch() -> None:
    (whole,) = (version for name, version in pins("worker.txt") if name == "torch")
    assert [*pins("worker-cpu-torch.txt")] == [("torch", f"{whole}+cpu")]


def test_every_package_has_hashes() -> None:
    for lock in LOCKS.glob("*.txt"):
        named = re.findall(r"^[a-z0-9-]+==", lock.read_text(), re.MULTILINE)
        assert len(named) == len(pins(lock.name)), lock.name
