"""The tests of the worker's engine: they need torch, so they run in the worker's image. Called by the commands.

The image has no pytest; the tests' environment lends its own, which is Python alone.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from dev import images, process, python, state
from dev.docker import Docker

LENT = ("py.py", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")


def run(docker: Docker, marked: str) -> None:
    """Run those that are marked so, on the caller's terminal."""
    process.show(*_build_command(docker, marked), env=docker.env())


@contextmanager
def running_beside(docker: Docker) -> Iterator[None]:
    """Run all but the long ones with what the block leaves of the processor; ProgramError behind it when one fails."""
    words = _build_command(docker, "not soak", "--cpu-shares=2")
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(process.run, *words, env=docker.env())
        yield
        ended.result()
    print(f"tests/engine: {process.last_lines(process.log_of(*words), 1)}", flush=True)


def _build_command(docker: Docker, marked: str, *options: str) -> list[process.Word]:
    site = next(python.folder().glob("lib/python*/site-packages"))
    lent = [found for name in LENT for found in (site / name, *site.glob(f"{name}-*.dist-info"))]
    mounts = {state.checkout(): "/tree", **{here: f"/lent/{here.name}" for here in lent}}
    return [
        *("docker", "run", "--rm", "--init", "--network=none", "--entrypoint=python3", "--workdir=/tree", *options),
        *("--env=PYTHONPATH=/lent", *(f"--volume={here}:{there}:ro" for here, there in mounts.items())),
        *(images.full_name(docker, images.WORKER), "-m", "pytest", "tests/engine", "-m", marked),
    ]
