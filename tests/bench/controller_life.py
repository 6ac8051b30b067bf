"""Whole lives: what a transcription costs the API server from its creation to its end. A side of controller_benches.

The pods run on simulated nodes, with workers that report and store a result; all requests of the operator go through a
proxy that counts them.
"""

import asyncio
import time

from tests.bench import crowd
from tests.bench.controller_sides import Operator, empty, prepare_site, running
from tests.bench.counting_proxy import CountingProxy, counting
from tests.bench.door import Document, Door, opened
from tests.bench.harness import BenchError, Sample
from tests.soak.kwok import WORKER_POD, simulated_nodes
from tests.soak.workers import Workers, well_within

NAMESPACE = "transcription-bench-life"
COUNT = 40
NODES = 10
WORK_SECONDS = (1.0, 3.0)
PATIENCE_SECONDS = 180.0

WRITES = "API writes a job, Events included"
OTHER_WRITES = "API writes a job, Events apart"
CALLS = "API requests a job, all kinds"
CPU = "CPU-ms a job, from creation to end"


def measure(program: tuple[str, ...]) -> Sample:
    return asyncio.run(_measure(program))


async def _measure(program: tuple[str, ...]) -> Sample:
    async with opened() as door, simulated_nodes(door, NODES):
        site = await prepare_site(door, NAMESPACE, WORKER_POD)
        await empty(door, NAMESPACE)
        workers = asyncio.create_task(Workers(door, NAMESPACE, well_within(*WORK_SECONDS)).run())
        async with counting(site.server, site.authority) as proxy:
            with running(program, site.through(proxy.url)) as operator:
                await _live(door, operator, [0])
                figures = await _count(door, proxy, operator)
        workers.cancel()
        await empty(door, NAMESPACE)
    return Sample(figures, COUNT)


async def _count(door: Door, proxy: CountingProxy, operator: Operator) -> dict[str, float]:
    proxy.calls.clear()
    begin = operator.cpu_seconds
    await _live(door, operator, range(1, 1 + COUNT))
    spent = operator.cpu_seconds - begin
    others, events = proxy.writes(events=False), proxy.writes(events=True)
    return {
        WRITES: (others + events) / COUNT,
        OTHER_WRITES: others / COUNT,
        CALLS: proxy.calls.total() / COUNT,
        CPU: 1_000 * spent / COUNT,
    }


async def _live(door: Door, operator: Operator, numbers: range | list[int]) -> None:
    """From the creation of so many to the end of all, and until the operator has nothing left to do."""
    path = crowd.path_of(NAMESPACE)
    for number in numbers:
        manifest = crowd.build_manifest(number, NAMESPACE)
        del manifest["spec"]["callback"]
        await door.send("POST", path, manifest)
    deadline = time.monotonic() + PATIENCE_SECONDS
    wanted = {crowd.name_of(number) for number in numbers}
    while missing := wanted - {one["metadata"]["name"] for one in await door.list(path) if _has_ended(one)}:
        operator.check()
        if time.monotonic() > deadline:
            raise BenchError(f"{len(missing)} of {len(wanted)} have not ended:\n{operator.last_words()}")
        await asyncio.sleep(1)
    await operator.calm_down()


def _has_ended(transcription: Document) -> bool:
    return transcription.get("status", {}).get("state") == "Succeeded"
