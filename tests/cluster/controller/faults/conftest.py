"""A controller behind a proxy that goes wrong as a test says, with workers that are played and a receiver."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """As by the kubelet: a controller that ends by itself is started again."""
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(0.2):
                if not self.arena.controller.is_running:
                    self.start()

        keeper = threading.Thread(target=watch, name="kubelet")
        keeper.start()
        try:
            yield
        finally:
            is_over.set()
            keeper.join()

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
