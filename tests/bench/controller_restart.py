"""Starting anew beside 10,000 finished and 500 live transcriptions, and what an event costs then.

The resources look to both sides as if they had made them themselves: ours finds its label on the finished ones, the
peer finds Kopf's annotation on all. The live ones' Jobs are managed by nobody, so they stay as they are.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import kopf

from controller.job_builder import build_job
from controller.settings import ControllerSettings
from crds.transcriptionjob import SETTLED_LABEL, Transcription
from tests.bench import crowd
from tests.bench.controller_create import Jobs
from tests.bench.controller_sides import Operator, dropped_afterwards, prepare_site, running
from tests.bench.door import Document, Door, opened
from tests.bench.harness import Sample

NAMESPACE = "transcription-bench-restart"
FINISHED = 10_000
LIVE = 500
EVENTS = 1_000
AT_ONCE = 16
NEW = 1_000_000
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PATH = crowd.path_of(NAMESPACE)

SECONDS = "seconds from the start to the first new Job"
CPU = "CPU-seconds until it rests"
MEMORY = "MiB at the peak"
EVENT_CPU = "CPU-ms an event of progress"

SETTINGS = {"namespace": NAMESPACE, "s3_bucket": crowd.BUCKET, "worker_image": "worker", "worker_service_account": "w"}


def measure(program: tuple[str, ...]) -> Sample:
    return asyncio.run(_measure(program))


@contextmanager
def populated() -> Iterator[None]:
    """They are there; at the end their deletion begins."""
    with dropped_afterwards(NAMESPACE):
        asyncio.run(_populate())
        yield


async def _measure(program: tuple[str, ...]) -> Sample:
    async with opened() as door:
        site = await prepare_site(door, NAMESPACE)
        async with _a_new_one(door) as name:
            jobs = Jobs(door, JOBS)
            follower = asyncio.create_task(jobs.follow())
            begin = time.monotonic()
            with running(program, site) as operator:
                await jobs.wait_for([name], operator)
                took = jobs.seen[name] - begin
                await operator.calm_down()
                figures = {SECONDS: took, CPU: operator.cpu_seconds, MEMORY: operator.peak_bytes / (1 << 20)}
                figures[EVENT_CPU] = await _report_progress(door, operator)
            follower.cancel()
    return Sample(figures, len(jobs.seen))


@asynccontextmanager
async def _a_new_one(door: Door) -> AsyncIterator[str]:
    """Made while no operator runs; it and its Job are gone afterwards."""
    manifest = crowd.build_manifest(NEW, NAMESPACE)
    name = crowd.name_of(NEW)
    await _forget(door, name)
    await door.send("POST", PATH, manifest | {"spec": manifest["spec"] | {"queueName": "bench"}})
    try:
        yield name
    finally:
        await _forget(door, name)


async def _forget(door: Door, name: str) -> None:
    await door.send("DELETE", f"{JOBS}/{name}-1?propagationPolicy=Background", accepted=(200, 404))
    await door.send("DELETE", f"{PATH}/{name}", accepted=(200, 404))


async def _report_progress(door: Door, operator: Operator) -> float:
    """CPU-milliseconds of the operator for each patch of a worker."""
    numbers = iter([FINISHED + number % LIVE for number in range(EVENTS)])
    begin, stamp = operator.cpu_seconds, time.time_ns() % 1_000_000_000

    async def report() -> None:
        for step, number in enumerate(numbers):
            progress = {"processedSeconds": stamp + step}
            await door.send("PATCH", f"{PATH}/{crowd.name_of(number)}/status", {"status": {"progress": progress}})

    await asyncio.gather(*(report() for _ in range(4)))
    await operator.calm_down()
    return 1_000 * (operator.cpu_seconds - begin) / EVENTS


async def _populate() -> None:
    async with opened() as door:
        await door.ensure_namespace(NAMESPACE)
        await _forget(door, crowd.name_of(NEW))  # a run that was killed may have left it
        _, example = await door.send("POST", f"{PATH}?dryRun=All", crowd.build_manifest(NEW, NAMESPACE))
        there = {one["metadata"]["name"] for one in await door.list(PATH) if "state" in one.get("status", {})}
        numbers = iter([number for number in range(FINISHED + LIVE) if crowd.name_of(number) not in there])

        async def make() -> None:
            for number in numbers:
                await _make(door, number, example["spec"])

        await asyncio.gather(*(make() for _ in range(AT_ONCE)))


async def _make(door: Door, number: int, defaults: Document) -> None:
    """The status comes last: what has none is made again by the next run."""
    manifest = crowd.build_manifest(number, NAMESPACE)
    manifest["spec"] = defaults | manifest["spec"]
    if number >= FINISHED:
        del manifest["spec"]["callback"]
    if number < FINISHED:
        manifest["metadata"]["labels"][SETTLED_LABEL] = "true"
    manifest["metadata"]["annotations"] |= build_kopf_annotation(manifest)
    path = f"{PATH}/{crowd.name_of(number)}"
    code, made = await door.send("POST", PATH, manifest, accepted=(201, 409))
    status = crowd.build_status(number)
    if number >= FINISHED:
        status = _build_live_status(number, await _make_job(door, made if code == 201 else await door.get(path)))
    await door.send("PATCH", f"{path}/status", {"status": status})


async def _make_job(door: Door, transcription: Document) -> Document:
    """At work as far as anybody can see."""
    job = build_job(Transcription.parse(transcription), 1, ControllerSettings.model_validate(SETTINGS))
    job["spec"]["managedBy"] = "bench.invalid/nobody"
    await door.send("POST", JOBS, job, accepted=(201, 409))
    status = {"active": 1, "ready": 1, "startTime": _render_now()}
    return (await door.send("PATCH", f"{JOBS}/{job['metadata']['name']}/status", {"status": status}))[1]


def build_kopf_annotation(manifest: Document) -> dict[str, str]:
    """By which the peer knows that it has handled the creation; all defaults must be there."""
    body, patch, storage = kopf.Body(manifest), kopf.Patch(), kopf.AnnotationsDiffBaseStorage()
    storage.store(body=body, patch=patch, essence=storage.build(body=body))
    return dict(patch.metadata.annotations)


def _build_live_status(number: int, job: Document) -> dict[str, Any]:
    """As controller and worker leave it in the middle of the work."""
    status = crowd.build_status(number)
    for field in ("completionTime", "result", "callback", "settled"):
        del status[field]
    now = _render_now()
    status["progress"] |= {"percent": 40, "stage": "Transcribing", "lastUpdateTime": now}
    message = "Running: the worker's pod is at work."
    kinds = {
        "Accepted": ("True", "Accepted", "The request is accepted."),
        "Running": ("True", "PodReady", message),
        "Succeeded": ("Unknown", "NotFinished", message),
        "Finished": ("False", "NotFinished", message),
        "Reconciling": ("False", "JobCreated", message),
        "Stalled": ("False", "Progressing", message),
    }
    common = {"observedGeneration": 1, "lastTransitionTime": now}
    status["conditions"] = [
        {"type": kind, "status": truth, "reason": reason, "message": words} | common
        for kind, (truth, reason, words) in kinds.items()
    ]
    ref = {name: job["metadata"][name] for name in ("name", "uid")}
    return status | {"state": "Running", "message": message, "jobRef": ref, "startTime": now}


def _render_now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
