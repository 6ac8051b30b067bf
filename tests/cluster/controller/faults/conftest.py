"""A controller behind a proxy that goes wrong as a test says, with workers that are played and a receiver."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.arena import Arena, OpenArena
from tests.support.fault_proxy import FaultProxy, a_fault_proxy, lead_through
from tests.support.kubectl import Kubectl
from tests.support.sinks import Sink


@dataclass(frozen=True)
class Stage:
    """What a test of faults has in its hands. The controller is down at first."""

    arena: Arena
    proxy: FaultProxy
    sink: Sink

    def start(self, **settings: str) -> None:
        """A controller that comes by the proxy."""
        self.arena.controller.start(**{f"CONTROLLER_{key.upper()}": value for key, value in settings.items()})


@pytest.fixture(scope="module")
def stage_of_module(open_one: OpenArena, kubectl: Kubectl) -> Iterator[Stage]:
    sink = Sink()
    with (
        a_fault_proxy(kubectl) as proxy,
        sink.running(),
        open_one(is_up=False, callback_url=sink.url, callback_retry_schedule="1,1,1,1,1,1") as arena,
    ):
        lead_through(proxy, arena.controller.kubeconfig)
        yield Stage(arena, proxy, sink)


@pytest.fixture
def stage(stage_of_module: Stage) -> Iterator[Stage]:
    """Without faults at the beginning and at the end of each test."""
    yield stage_of_module
    stage_of_module.sink.let_go()
    stage_of_module.proxy.clear()
