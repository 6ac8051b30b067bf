"""The virtual environment of tests and linters, and the commands that run in it. Called by the commands.

It is kept in the machine's state under the hash of the lock file, so that a second clone installs nothing.
"""

import os
import shutil
import sys
from pathlib import Path

from dev import binaries, kubectl, packages, process, state

LOCKS = {
    "api": ("--extra=api",),
    "controller": ("--extra=controller",),
    "worker": ("--extra=worker",),
    "worker-cpu": ("--extra=worker", "--excludes=requirements/worker-cpu-excludes.txt", "--no-emit-package=torch"),
    "dev": ("--extra=dev", "--extra=api", "--extra=controller"),
    "bench": ("--extra=bench",),
    "checkov": ("--extra=checkov",),
}
MATRIX = (
    "tests/cluster/chart",
    "tests/cluster/controller",
    "--ignore=tests/cluster/controller/faults",
    *(f"tests/cluster/test_{name}.py" for name in ("admission", "corpus_resources", "writes", "kubectl")),
    *(f"tests/cluster/test_{name}.py" for name in ("journey", "failures", "acts", "callbacks", "transcripts")),
)
"""The tests whose outcome the version of Kubernetes may change."""
LOCK_OPTIONS = (
    "--quiet",
    "--upgrade",
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--custom-compile-command=make lock",
)


def folder() -> Path:
    """Where the environment of this lock file lies."""
    lock_file = state.checkout() / "requirements/dev.txt"
    return state.root() / "venv" / state.digest([lock_file], sys.version)


def is_built() -> bool:
    """Whether the environment of this lock file is there, whole."""
    return (folder() / "complete").exists()


def build() -> None:
    """Make the environment of tests and linters, and drop those of older lock files."""
    state.directory("venv")
    make(folder(), "dev")


def make(home: Path, lock: str) -> None:
    """Make an environment of a lock file; a half-made one of a killed run, and those beside it, are thrown away."""
    shutil.rmtree(home, ignore_errors=True)
    if not process.succeeds(sys.executable, "-c", "import ensurepip, venv"):
        packages.install({"python3-venv": "python3-venv"})
    process.run(sys.executable, "-m", "venv", home)
    lock_file = state.checkout() / "requirements" / f"{lock}.txt"
    process.run(home / "bin/python", "-m", "pip", "install", "--no-cache-dir", "--require-hashes", "-r", lock_file)
    (home / "complete").touch()
    for other in home.parent.iterdir():
        if other != home:
            shutil.rmtree(other, ignore_errors=True)


def env() -> dict[str, str]:
    """Where commands of this checkout find its code, its programs and its cluster."""
    root = state.checkout()
    known = process.environment()
    return known | {
        "PATH": os.pathsep.join([f"{root}/.dev/bin", f"{folder()}/bin", known["PATH"]]),
        "PYTHONPATH": f"{root}:{root}/whisper-job-image",
        "KUBECONFIG": f"{root}/.dev/kubeconfig",
    }


def publish() -> None:
    """Write `.dev/python`: this environment's interpreter, with our code on its path."""
    settings = {name: value for name, value in env().items() if name in ("PYTHONPATH", "KUBECONFIG")}
    exports = "".join(f"export {name}={value}\n" for name, value in settings.items())
    path = f'export PATH="{state.checkout()}/.dev/bin:{folder()}/bin:$PATH"\n'
    target = state.local("python")
    target.write_text(f'#!/bin/sh\n# Written by `make up`.\n{exports}{path}exec {folder()}/bin/python "$@"\n')
    target.chmod(0o755)


def lint() -> None:
    """Run every check that needs no cluster, on the caller's terminal."""
    root = state.checkout()
    process.show("ruff", "check", ".", env=env())
    process.show("ruff", "format", "--check", ".", env=env())
    process.show("mypy", env=env())
    process.show("lint-imports", env=env())
    process.show(binaries.path(binaries.ACTIONLINT), env=env())  # it finds shellcheck beside the other linters
    chart = root / "charts/transcription"
    process.show(binaries.path(binaries.HELM), "lint", chart, "-f", root / "dev/values.yaml", env=kubectl.env())


def lock() -> None:
    """Write the lock files anew from pyproject.toml: exact versions with hashes, for every Python that we run on."""
    for name, words in LOCKS.items():
        target = state.checkout() / "requirements" / f"{name}.txt"
        process.show("uv", "pip", "compile", "pyproject.toml", *words, *LOCK_OPTIONS, "-o", target, env=env())


def test(*words: str) -> None:
    """Run all tests, or those that are named."""
    process.show("python", "-m", "pytest", *(words or ("tests",)), env=env())


def soak() -> None:
    """Run what takes long; it writes docs/soak.md."""
    process.show("python", "-m", "pytest", "tests", "-m", "soak", "-p", "tests.soak.report", env=env())


def bench() -> None:
    """Run all benches; they write docs/benchmarks.md."""
    process.show("python", "-m", "tests.bench", env=env())
