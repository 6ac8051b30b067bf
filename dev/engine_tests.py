"""The tests of the worker's engine: they need torch, so they run in the worker's image. Called by the commands.

The image has no pytest; the tests' environment lends its own, which is Python alone.
"""

from dev import images, process, python, state
from dev.docker import Docker

LENT = ("py.py", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")


def run(docker: Docker, marked: str = "not soak") -> None:
    """Run those that are marked so, on the caller's terminal."""
    site = next(python.folder().glob("lib/python*/site-packages"))
    lent = [found for name in LENT for found in (site / name, *site.glob(f"{name}-*.dist-info"))]
    mounts = {state.checkout(): "/tree", **{here: f"/lent/{here.name}" for here in lent}}
    process.show(
        *("docker", "run", "--rm", "--init", "--network=none", "--entrypoint=python3", "--workdir=/tree"),
        *("--env=PYTHONPATH=/lent", *(f"--volume={here}:{there}:ro" for here, there in mounts.items())),
        *(images.full_name(docker, images.WORKER), "-m", "pytest", "tests/engine", "-m", marked),
        env=docker.env(),
    )
