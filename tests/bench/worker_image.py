"""Sides that need torch or the worker's ffmpeg: modules of this folder as processes of the worker's image.

The checkout is mounted, so that its code is what runs; packages that only peers need are mounted beside it and never
enter the image. Used by worker_benches.
"""

import json
import os
import subprocess
from functools import cache
from pathlib import Path

from dev import bench_site, docker, images, state
from tests.bench.harness import BenchError, Sample

SIDE_SECONDS = 900.0
TREE, SITE, DATA = "/tree", "/site", "/data"


@cache
def folder() -> Path:
    """Where files that sides read are kept, on this machine."""
    return state.directory("bench")


def run_side(module: str, *arguments: str) -> Sample:
    """Run a module that prints {"figures": ..., "answer": ...} as its last line."""
    return Sample(**json.loads(run_module(module, *arguments).splitlines()[-1]))


def run_module(module: str, *arguments: str) -> str:
    """Run a module of this folder in the image; what it prints. BenchError when it fails."""
    engine = docker.find()
    command = build_command(_image(engine), [module, *arguments])
    done = subprocess.run(command, env=engine.env(), capture_output=True, text=True, timeout=SIDE_SECONDS, check=False)
    if done.returncode:
        raise BenchError(f"{module} {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def build_command(image: str, words: list[str]) -> list[str]:
    """As in a pod: no network, no more rights than needed; the folder of files is the one place to write to."""
    mounts = {f"{state.checkout()}": f"{TREE}:ro", f"{bench_site.folder()}": f"{SITE}:ro", f"{folder()}": DATA}
    return [
        *("docker", "run", "--rm", "--init", "--network=none", f"--user={os.getuid()}", f"--workdir={TREE}"),
        f"--env=PYTHONPATH={TREE}:{TREE}/whisper-job-image",
        *(f"--volume={here}:{there}" for here, there in mounts.items()),
        *("--entrypoint=python3", image, "-m", *words),
    ]


@cache
def _image(engine: docker.Docker) -> str:
    return os.environ.get("BENCH_WORKER_IMAGE") or images.full_name(engine, images.WORKER)
