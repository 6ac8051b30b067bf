"""The tests of the worker's engine: they need torch, so they run in the worker's image. Called by the commands.

The image has no pytest; the tests' environment lends its own, which is Python alone.
"""

from dev import images, process, python, state
from dev.docker import Docker

LENT = ("py.py", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")


def run(docker: Docker) -> None:
    """Run them all, on the caller's terminal."""
    site = next(python.folder().glob("lib/python*/site-packages"))
    mounts = {state.checkout(): "/tree", **{site / name: f"/lent/{name}" for name in LENT}}
    process.show(
        *("docker", "run", "--rm", "--init", "--network=none", "--entrypoint=python3", "--workdir=/tree"),
        *("--env=PYTHONPATH=/lent", *(f"--volume={here}:{there}:ro" for here, there in mounts.items())),
        *(images.full_name(docker, images.WORKER), "-m", "pytest", "--durations=25", "tests/engine"),
        env=docker.env(),
    )
