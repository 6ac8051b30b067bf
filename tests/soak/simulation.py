"""Many transcriptions on simulated nodes, with a controller process of this checkout, and all that is seen of them.

Run by the tests of this folder. What a simulated worker does hangs on the number of its transcription, so every run has
the same ends to show.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crds.reasons import ExitCode
from crds.transcriptionjob import NAME_LABEL, Source, Spec, State, build_transcription
from tests.bench import crowd
from tests.bench.controller_sides import OURS, Operator, Site, drop_site, prepare_site, start
from tests.bench.door import Document, Door, opened
from tests.bench.harness import BenchError
from tests.soak.kwok import WORKER_POD, simulated_nodes
from tests.soak.sightings import Sightings
from tests.soak.workers import Act, Workers

AT_ONCE = 16
SAMPLE_SECONDS = 1.0
TENANTS = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How many, on how many nodes, and how often the controller is killed on the way."""

    namespace: str
    count: int
    nodes: int
    max_active: int
    work_seconds: tuple[float, float]
    patience_seconds: float
    kill_every_seconds: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A look at the controller and at how far all is."""

    seconds: float
    cpu_seconds: float
    mib: float
    created: int
    at_work: int
    ended: int


@dataclass(slots=True)
class Run:
    """What became of a plan."""

    plan: Plan
    sightings: Sightings
    moments: list[Moment] = field(default_factory=list)
    kills: int = 0
    pods: int = 0
    seconds: float = 0.0

    def lost(self) -> list[str]:
        """Those that did not end as their worker's fate has it."""
        wanted = {name_of(number): state_of(number) for number in range(self.plan.count)}
        ends = self.sightings.ends
        return [f"{name}: {ends.get(name)}" for name, state in wanted.items() if ends.get(name) != state]


def name_of(number: int) -> str:
    return f"soak-{number:05}"


def state_of(number: int) -> State:
    """Every 50th has a file that is no video."""
    return State.FAILED if number % 50 == 49 else State.SUCCEEDED


async def simulate(plan: Plan) -> Run:
    """From the first creation to the last end; BenchError when the patience ends before."""
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(opened())
        await stack.enter_async_context(simulated_nodes(door, plan.nodes))
        site = await prepare_site(door, plan.namespace, WORKER_POD, CONTROLLER_MAX_ACTIVE=str(plan.max_active))
        stack.push_async_callback(drop_site, door, plan.namespace)
        run = Run(plan, Sightings(door, plan.namespace))
        await run.sightings.begin()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        controller = Controller(site, folder)
        stack.callback(controller.stop)
        await _play(run, door, controller)
    return run


class Controller:
    """The process, and its successors: one is started as soon as the one before was killed."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._spent = 0.0
        self.process: Operator = start(OURS, site, folder)

    @property
    def cpu_seconds(self) -> float:
        """Of all processes together."""
        return self._spent + self.process.cpu_seconds

    def replace(self) -> None:
        self._spent += self.process.cpu_seconds
        self.process.kill()
        self.process = start(OURS, self._site, self._folder)

    def stop(self) -> None:
        self.process.stop()


async def _play(run: Run, door: Door, controller: Controller) -> None:
    plan, begin = run.plan, time.monotonic()
    chance = random.Random(plan.seed)
    workers = Workers(door, plan.namespace, lambda pod: _fate_of(pod, plan, chance))
    async with _beside(run.sightings.follow_transcriptions(), run.sightings.follow_jobs(), workers.run()) as beside:
        creation = beside.create_task(_create(door, plan))
        if plan.kill_every_seconds is not None:
            beside.create_task(_kill(run, controller, chance))
        while len(run.sightings.ends) < plan.count:
            seconds = time.monotonic() - begin
            if seconds > plan.patience_seconds:
                raise BenchError(f"{len(run.sightings.ends)} of {plan.count} ended:\n{controller.process.last_words()}")
            controller.process.check()
            run.moments.append(_look(run, controller, seconds))
            await asyncio.sleep(SAMPLE_SECONDS)
        await creation
        run.seconds, run.pods = time.monotonic() - begin, workers.count
        run.moments.append(_look(run, controller, run.seconds))


def _look(run: Run, controller: Controller, seconds: float) -> Moment:
    seen, mib = run.sightings, controller.process.resident_bytes / (1 << 20)
    return Moment(seconds, controller.cpu_seconds, mib, len(seen.names), seen.live_jobs, len(seen.ends))


async def _create(door: Door, plan: Plan) -> None:
    numbers = iter(range(plan.count))

    async def make() -> None:
        for number in numbers:
            source = Source(bucket=crowd.BUCKET, key=f"videos/anonymous/{number:05}.mp4")
            manifest = build_transcription(
                name_of(number), plan.namespace, Spec(source=source, tenant=f"tenant-{number % TENANTS}")
            )
            await door.send("POST", crowd.path_of(plan.namespace), manifest)

    await asyncio.gather(*(make() for _ in range(AT_ONCE)))


async def _kill(run: Run, controller: Controller, chance: random.Random) -> None:
    """At any moment, also while one is still starting."""
    assert run.plan.kill_every_seconds is not None
    while True:
        await asyncio.sleep(chance.expovariate(1 / run.plan.kill_every_seconds))
        controller.replace()
        run.kills += 1


def _fate_of(pod: Document, plan: Plan, chance: random.Random) -> Act:
    number = int(pod["metadata"]["labels"][NAME_LABEL].rpartition("-")[2])
    seconds = chance.uniform(*plan.work_seconds)
    return Act(seconds, ExitCode.BAD_MEDIA if state_of(number) is State.FAILED else ExitCode.DONE)


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.TaskGroup]:
    """Run beside the block, and end with it; when one of them fails, so does the block."""
    async with asyncio.TaskGroup() as group:
        before = asyncio.all_tasks()
        for one in work:
            group.create_task(one)
        yield group
        for task in asyncio.all_tasks() - before:
            task.cancel()
