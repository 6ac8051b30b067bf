"""The benches of the controller. Listed in __main__."""

from collections.abc import Callable
from functools import partial

from tests.bench import controller_create, controller_life, controller_restart
from tests.bench.controller_sides import OURS as CONTROLLER
from tests.bench.controller_sides import PEER, dropped_afterwards
from tests.bench.figures import at_least, at_most
from tests.bench.harness import OURS, Bench

KOPF = "Kopf, create handler, official client"
ON_THE_CLOCK = 0.25
"""The clock of a machine whose cores are shared with API server and etcd says no more than that."""


def build_create() -> Bench:
    """How fast Jobs are made."""
    measure = controller_create.measure
    return Bench(
        "create",
        f"from TranscriptionJob to Job: a backlog of {controller_create.BACKLOG}, then one by one",
        {OURS: partial(measure, CONTROLLER), KOPF: partial(measure, PEER)},
        {
            controller_create.RATE: at_least(3),
            controller_create.CPU: None,
            controller_create.LATENCY: None,
            controller_create.MEDIAN_LATENCY: None,
        },
        around=partial(dropped_afterwards, controller_create.NAMESPACE),
        deviation=ON_THE_CLOCK,
    )


def build_life() -> Bench:
    """What the API server is asked for."""
    measure = controller_life.measure
    return Bench(
        "life",
        f"{controller_life.COUNT} transcriptions from creation to end, on simulated nodes",
        {OURS: partial(measure, CONTROLLER), KOPF: partial(measure, PEER)},
        {
            controller_life.WRITES: at_most(0.5),
            controller_life.OTHER_WRITES: None,
            controller_life.CALLS: None,
            controller_life.CPU: None,
        },
        around=partial(dropped_afterwards, controller_life.NAMESPACE),
        rounds=3,
    )


def build_restart() -> Bench:
    """From the start of the process."""
    measure = controller_restart.measure
    return Bench(
        "restart",
        f"restart beside {controller_restart.FINISHED:,} finished and {controller_restart.LIVE} live transcriptions",
        {OURS: partial(measure, CONTROLLER), KOPF: partial(measure, PEER)},
        {
            controller_restart.SECONDS: None,
            controller_restart.CPU: None,
            controller_restart.MEMORY: None,
            controller_restart.EVENT_CPU: None,
        },
        around=controller_restart.populated,
        rounds=3,
    )


BENCHES: dict[str, Callable[[], Bench]] = {"create": build_create, "life": build_life, "restart": build_restart}
