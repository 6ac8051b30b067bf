"""The liveness probe of a controller whose watches go silent, beside the real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.controllers import HASTY, Controllers, ask, some_controllers
from tests.support.kubectl import Kubectl
from tests.support.muted_proxy import MutedProxy, a_muted_proxy
from tests.support.namespaces import open_namespace
from tests.support.waiting import wait_for


@pytest.fixture
def place(kubectl: Kubectl) -> Iterator[Kubectl]:
    with open_namespace(kubectl, "watched") as made:
        yield made


@pytest.fixture
def controllers(place: Kubectl, tmp_path: Path) -> Iterator[Controllers]:
    with some_controllers(place, tmp_path) as made:
        yield made


@pytest.fixture
def proxy(kubectl: Kubectl) -> Iterator[MutedProxy]:
    with a_muted_proxy(kubectl) as made:
        yield made


def test_the_probe_fails_while_a_watch_is_silent_and_misses_something(
    place: Kubectl, controllers: Controllers, proxy: MutedProxy, tmp_path: Path
) -> None:
    kubeconfig = proxy.write_kubeconfig(tmp_path / "kubeconfig")
    one = controllers.start_well(before=HASTY, kubeconfig=kubeconfig)
    ask(place, "seen")
    wait_for(lambda: place.get("job", "seen-1"), 30, "the controller works")
    proxy.is_muted = True
    looked = one.measure("kubernetes_requests_total")
    wait_for(lambda: one.measure("watch_idle_seconds") > 8, 30, "the watches are silent for a while")
    assert one.measure("kubernetes_requests_total") > looked, "nobody asks the API server"
    ask(place, "unseen")
    wait_for(lambda: "the watch of transcriptionjobs" in f"{one.find_problems()}", 30, "the probe names the watch")
    assert place.get("job", "unseen-1") is None
    proxy.speak()
    wait_for(lambda: place.get("job", "unseen-1"), 30, "the controller sees what it has missed")
    wait_for(one.is_well, 10, "the probe is content")
