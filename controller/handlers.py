"""The Kopf shell: watch events become a cached copy and a key on the queue. Registered by __main__.

Nothing of Kopf writes: no finalizers, no annotations, no events.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import Any

import kopf
from kopf._cogs.clients import watching

from controller.cache import is_waiting
from controller.cluster import JOBS_SELECTOR, LIVE_SELECTOR, Cluster, parse_job, parse_transcription
from controller.errors import MissingError, TransientError
from controller.loop import Loop
from controller.views import parse_transcription_name
from controller.watches import Kind, Watches
from crds.transcriptionjob import GROUP, PLURAL, VERSION

STUCK_AFTER = timedelta(minutes=2)
DELETED = "DELETED"
READY_PAUSE_SECONDS = 2
JOBS = "jobs"

logger = logging.getLogger(__name__)


class Runners:
    """The loop's task: started by Kopf, looked at by the liveness probe. Should it fail, another process may go on."""

    def __init__(self, loop: Loop, stop_flag: asyncio.Event) -> None:
        self._loop = loop
        self._stop_flag = stop_flag
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop.run(), name="loop")
        self._task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            logger.critical("the loop has ended", exc_info=task.exception())
            self._stop_flag.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def find_problem(self) -> str | None:
        """Whether the queue moves."""
        if self._task is None:
            return None
        if self._task.done():
            return "the loop has ended"
        age = self._loop.queue.oldest_age
        return f"a key has waited for {age.total_seconds():.0f} s" if age > STUCK_AFTER else None


def build_registry(loop: Loop, cluster: Cluster, runners: Runners, stop_flag: asyncio.Event) -> kopf.OperatorRegistry:
    """Every handler, on a registry of its own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        await wait_until_served(cluster)
        runners.start()
        stop_on_signals(stop_flag)  # again: Kopf's own handlers, set before, have it wait 5 s for the flag at the end

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await runners.stop()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def see_transcription(event: kopf.RawEvent, **_: Any) -> None:
        take_transcription(loop, event)

    @kopf.on.event("batch", "v1", JOBS, registry=registry)
    async def see_job(event: kopf.RawEvent, **_: Any) -> None:
        take_job(loop, event)

    return registry


def stop_on_signals(stop_flag: asyncio.Event) -> None:
    """Set the flag when the process is asked to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_flag.set)


def build_kinds(namespace: str) -> tuple[Kind, ...]:
    """What is watched."""
    return (
        Kind(PLURAL, f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}", LIVE_SELECTOR),
        Kind(JOBS, f"/apis/batch/v1/namespaces/{namespace}/{JOBS}", JOBS_SELECTOR),
    )


@contextmanager
def followed(watches: Watches) -> Iterator[None]:
    """Have Kopf's watches tell all that they see: it keeps bookmarks to itself, and shows nothing but objects."""
    watch = watching.continuous_watch

    async def continuous_watch(**kwargs: Any) -> AsyncIterator[Any]:
        plural = kwargs["resource"].plural
        async with aclosing(watch(**kwargs)) as stream:  # type: ignore[type-var]  # it is a generator
            async for event in stream:
                if event is watching.Bookmark.LISTED:
                    watches.see_list(plural)
                else:
                    watches.see(plural, str(event["type"] or "LISTED"), event["object"])
                yield event

    watching.continuous_watch = continuous_watch
    watches.start()
    try:
        yield
    finally:
        watching.continuous_watch = watch


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
        loop.queue.add(transcription.name, urgent=is_waiting(transcription))


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
    is_over = is_gone or job.ended is not None
    if name is not None and not (is_over and loop.cache.get(name) is None):
        loop.queue.add(name)


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
    settings.watching.label_selectors["batch", "v1", JOBS] = JOBS_SELECTOR
    settings.execution.max_workers = 4
    settings.process.ultimate_exiting_timeout = 25
    return settings
