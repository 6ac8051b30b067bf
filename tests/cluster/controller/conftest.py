"""Fixtures for the controller as a process of its own in a namespace of its own, with simulated workers."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.support.admin import Admin, connect
from tests.support.arena import Arena, OpenArena, build_controller, open_arena
from tests.support.bucket import read_env
from tests.support.kubectl import Kubectl
from tests.support.simulated_node import SimulatedNode
from tests.support.speech import ROOT


@pytest.fixture(scope="session")
def node(kubectl: Kubectl) -> Iterator[SimulatedNode]:
    """All simulated workers' node, while nobody asks for another one."""
    with connect(kubectl) as client, SimulatedNode(Admin(client, ""), f"worker-{secrets.token_hex(4)}") as made:
        yield made


@pytest.fixture(scope="session")
def s3_settings() -> dict[str, str]:
    place = {"CONTROLLER_S3_ENDPOINT": "http://127.0.0.1:9000", "CONTROLLER_S3_PATH_STYLE": "true"}
    return place | read_env(ROOT / ".dev/s3.env")


@pytest.fixture(scope="session")
def open_one(
    kubectl: Kubectl, node: SimulatedNode, s3_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> OpenArena:
    """Opens another arena, with settings of its own."""

    @contextmanager
    def make(pod: dict[str, Any] | None = None, *, is_up: bool = True, **settings: str) -> Iterator[Arena]:
        env = s3_settings | {f"CONTROLLER_{key.upper()}": value for key, value in settings.items()}
        build = partial(build_controller, tmp_path_factory.mktemp("arena"), env, pod or {})
        with open_arena(kubectl, node, build) as made:
            if is_up:
                made.controller.start()
            yield made

    return make


@pytest.fixture(scope="session")
def arena(open_one: OpenArena) -> Iterator[Arena]:
    """With the defaults. Tests share it: each looks at transcriptions of its own."""
    with open_one() as made:
        yield made


@pytest.fixture(scope="session")
def restartable(open_one: OpenArena) -> Iterator[Arena]:
    """With the defaults, and a controller that tests start and kill; it is down at first."""
    with open_one(is_up=False) as made:
        yield made
