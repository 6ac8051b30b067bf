"""The Kopf shell: watch events become a cached copy and a key on the queue. Registered by __main__.

Nothing of Kopf writes: no finalizers, no annotations, no events.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import kopf

from controller.cluster import JOBS_SELECTOR, LIVE_SELECTOR, Cluster, parse_job, parse_transcription
from controller.errors import MissingError, TransientError
from controller.loop import Loop
from controller.metrics import Metrics
from controller.views import parse_transcription_name
from crds.transcriptionjob import GROUP, PLURAL, VERSION

STUCK_AFTER = timedelta(minutes=2)
DELETED = "DELETED"
READY_PAUSE_SECONDS = 2

logger = logging.getLogger(__name__)


def build_registry(loop: Loop, cluster: Cluster, metrics: Metrics) -> kopf.OperatorRegistry:
    """Every handler, on a registry of its own."""
    registry = kopf.OperatorRegistry()
    runners: list[asyncio.Task[None]] = []

    @kopf.on.login(registry=registry)
    async def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        await wait_until_served(cluster)
        runners.append(asyncio.create_task(loop.run(), name="loop"))

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    @kopf.on.probe(id="queue", registry=registry)
    async def queue_age(**_: Any) -> dict[str, float]:
        return check_health(loop, runners)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def see_transcription(event: kopf.RawEvent, **_: Any) -> None:
        metrics.watch_events.labels(PLURAL, str(event["type"])).inc()
        take_transcription(loop, event)

    @kopf.on.event("batch", "v1", "jobs", registry=registry)
    async def see_job(event: kopf.RawEvent, **_: Any) -> None:
        metrics.watch_events.labels("jobs", str(event["type"])).inc()
        take_job(loop, event)

    return registry


async def wait_until_served(cluster: Cluster) -> None:
    """Kopf looks for its kinds once, at the start: they must be there."""
    while True:
        try:
            return await cluster.check_served()
        except (MissingError, TransientError) as error:
            logger.warning("the resource is not served yet", extra={"error": str(error)})
        await asyncio.sleep(READY_PAUSE_SECONDS)


def take_transcription(loop: Loop, event: kopf.RawEvent) -> None:
    """Keep what was seen; a transcription that left the watch is deleted or settled."""
    transcription = parse_transcription(event["object"])
    if transcription is None:
        return
    if event["type"] == DELETED:
        if loop.cache.drop(transcription.name, transcription.uid):
            loop.queue.add(transcription.name)
    elif loop.cache.put(transcription):
        loop.queue.add(transcription.name)


def take_job(loop: Loop, event: kopf.RawEvent) -> None:
    """Keep what was seen of a Job and look at its transcription."""
    job, name = parse_job(event["object"]), parse_transcription_name(event["object"])
    if job is None:
        return
    is_gone = event["type"] == DELETED
    if is_gone:
        loop.cache.drop_job(job.name, job.uid)
    elif not loop.cache.put_job(job):
        return
    if name is not None and not (is_gone and loop.cache.get(name) is None):
        loop.queue.add(name)


def check_health(loop: Loop, runners: list[asyncio.Task[None]]) -> dict[str, float]:
    """How old the queue is; kopf.PermanentError, which fails the probe, when nothing moves."""
    age = loop.queue.oldest_age
    if age > STUCK_AFTER or any(runner.done() for runner in runners):
        raise kopf.PermanentError("the queue does not move")
    return {"oldestSeconds": age.total_seconds()}


class NoBase(kopf.DiffBaseStorage):
    """No handler of ours asks what has changed: without this Kopf copies every object of every event to find out."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """Nor does any of ours go on where it stopped."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """There is nothing to remove."""

    def touch(self, **_: Any) -> None:
        """Nothing is ever put off."""

    def clear(self, *, essence: Any) -> Any:
        return essence


def build_kopf_settings() -> kopf.OperatorSettings:
    """Kopf as a watcher and nothing else."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = NoBase()
    settings.persistence.progress_storage = NoProgress()
    settings.peering.standalone = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.enforce_retry_after = True
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1.0
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = 500
    settings.watching.label_selectors[GROUP, VERSION, PLURAL] = LIVE_SELECTOR
    settings.watching.label_selectors["batch", "v1", "jobs"] = JOBS_SELECTOR
    settings.execution.max_workers = 4
    settings.process.ultimate_exiting_timeout = 25
    return settings
