"""The import contracts hold, and are seen to fail when they are broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"api": ROOT, "controller": ROOT, "crds": ROOT, "worker": ROOT / "whisper-job-image"}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--config", str(folder / "pyproject.toml")]
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages, side by side, that a test may break."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package, parent in PACKAGES.items():
        shutil.copytree(parent / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_contracts_hold(tree: Path) -> None:
    done = lint_imports(tree)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_contract_is_seen_to_fail_when_it_is_broken(tree: Path) -> None:
    breaks = {
        "api/schemas.py": "import controller.settings\nimport kubernetes\nimport boto3\nimport httpx2\n",
        "controller/reconcile.py": "import kopf\nimport torch\n",
        "crds/callback.py": "import httpx2\n",
    }
    for path, lines in breaks.items():
        with (tree / path).open("a") as file:
            file.write(lines)
    done = lint_imports(tree)
    kept = [line for line in done.stdout.splitlines() if line.endswith(" KEPT")]
    assert done.returncode == 1
    assert kept == []
    assert "0 kept" in done.stdout
