"""From TranscriptionJob to Job: how fast, how soon, how dear. A side of controller_benches.

The operator is stopped with SIGSTOP while a backlog is made, and goes on when all of it is there: so its own rate is
seen, and not that of the client that makes resources. Then others come one by one, at a pace that both sides keep up
with, for the time that one takes. No pod is ever made: a quota of the namespace forbids it.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from statistics import quantiles

from crds.transcriptionjob import NAME_LABEL
from tests.bench import crowd
from tests.bench.controller_sides import Operator, empty, prepare_site, running
from tests.bench.door import Document, Door, opened
from tests.bench.harness import BenchError, Sample

NAMESPACE = "transcription-bench-create"
BACKLOG = 200
PACED = 100
PACE_SECONDS = 0.1
PATIENCE_SECONDS = 120.0

RATE = "Jobs a second, from a backlog"
LATENCY = "ms from creation to Job, p99"
MEDIAN_LATENCY = "ms from creation to Job, median"
CPU = "CPU-ms a Job"

JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
QUEUE = "bench"


def measure(program: tuple[str, ...]) -> Sample:
    return asyncio.run(_measure(program))


class Jobs:
    """When the Job of each transcription was first seen, by a watch of ours."""

    def __init__(self, door: Door, path: str) -> None:
        self._door = door
        self._path = path
        self._changed = asyncio.Condition()
        self.seen: dict[str, float] = {}

    async def follow(self) -> None:
        version = (await self._door.get(f"{self._path}?limit=1"))["metadata"]["resourceVersion"]
        async for event in self._door.watch(self._path, version):
            if event["type"] == "ADDED":
                await self._note(event["object"])

    async def wait_for(self, names: Sequence[str], operator: Operator) -> None:
        """BenchError when one of them gets none in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        async with self._changed:
            while missing := set(names) - self.seen.keys():
                operator.check()
                if time.monotonic() > deadline:
                    raise BenchError(f"{len(missing)} of {len(names)} got no Job:\n{operator.last_words()}")
                await self._wait(1.0)

    async def _note(self, job: Document) -> None:
        async with self._changed:
            self.seen.setdefault(job["metadata"]["labels"][NAME_LABEL], time.monotonic())
            self._changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return


async def _measure(program: tuple[str, ...]) -> Sample:
    async with opened() as door:
        site = await prepare_site(door, NAMESPACE)
        await empty(door, NAMESPACE)
        jobs = Jobs(door, JOBS)
        follower = asyncio.create_task(jobs.follow())
        with running(program, site) as operator:
            await _create(door, [0])
            await jobs.wait_for(_names([0]), operator)
            rate = await _work_off(door, jobs, operator)
            await operator.calm_down()
            latencies = await _keep_pace(door, jobs, operator)
        follower.cancel()
        await empty(door, NAMESPACE)
    percentiles = quantiles([1_000 * one for one in latencies], n=100)
    return Sample(rate | {LATENCY: percentiles[98], MEDIAN_LATENCY: percentiles[49]}, len(jobs.seen))


async def _work_off(door: Door, jobs: Jobs, operator: Operator) -> dict[str, float]:
    numbers = range(1, 1 + BACKLOG)
    operator.pause()
    await _create(door, numbers)
    begin, cpu = time.monotonic(), operator.cpu_seconds
    operator.resume()
    await jobs.wait_for(_names(numbers), operator)
    spent = operator.cpu_seconds - cpu
    took = max(jobs.seen[name] for name in _names(numbers)) - begin
    return {RATE: BACKLOG / took, CPU: 1_000 * spent / BACKLOG}


async def _keep_pace(door: Door, jobs: Jobs, operator: Operator) -> list[float]:
    """From the answer to the POST to the event of the Job."""
    created: dict[str, float] = {}
    start = time.monotonic()
    for step, number in enumerate(range(1 + BACKLOG, 1 + BACKLOG + PACED)):
        await asyncio.sleep(start + step * PACE_SECONDS - time.monotonic())
        await _create(door, [number])
        created[crowd.name_of(number)] = time.monotonic()
    await jobs.wait_for(list(created), operator)
    return [max(jobs.seen[name] - at, 0.0) for name, at in created.items()]


async def _create(door: Door, numbers: Iterable[int]) -> None:
    left = iter(numbers)

    async def make() -> None:
        for number in left:
            manifest = crowd.build_manifest(number, NAMESPACE)
            await door.send(
                "POST", crowd.path_of(NAMESPACE), manifest | {"spec": manifest["spec"] | {"queueName": QUEUE}}
            )

    await asyncio.gather(*(make() for _ in range(8)))


def _names(numbers: Iterable[int]) -> list[str]:
    return [crowd.name_of(number) for number in numbers]
