"""Takes keys from the queue, reads what is there, asks decide(), and does what it says. Started by handlers."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from controller.cache import Cache
from controller.conditions import final_state
from controller.couriers import Couriers
from controller.decision import (
    CreateJob,
    Decision,
    DeleteJob,
    ExpireJob,
    PatchStatus,
    Policy,
    Seen,
    Settle,
    Step,
    Unsettle,
)
from controller.errors import (
    ControllerError,
    MissingError,
    NameTakenError,
    QuotaError,
    RefusedError,
    StaleError,
    TransientError,
)
from controller.job_builder import build_job
from controller.merge_patch import build_merge_patch
from controller.metrics import Metrics
from controller.outbox import Outbox
from controller.outcome import build_failure
from controller.queue import KeyQueue
from controller.reconcile import decide, fail, needs_pods, wait
from controller.resync import Resync
from controller.settings import ControllerSettings
from controller.views import JobView
from crds.reasons import Reason, WaitingReason
from crds.transcriptionjob import SETTLED_LABEL, Status, Transcription
from crds.worker import build_job_name

if TYPE_CHECKING:
    from controller.cluster import Cluster

RUNNERS = 4
QUOTA_PAUSE = timedelta(seconds=30)

logger = logging.getLogger(__name__)


class Loop:
    """One per process: a few runners on the queue, couriers beside them, a slow resync."""

    def __init__(
        self,
        settings: ControllerSettings,
        cluster: "Cluster",
        outbox: Outbox,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self.cache = Cache()
        self.queue = KeyQueue(clock)
        self._settings = settings
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._policy = Policy(settings.callback_url, settings.callback_retry_schedule, settings.default_model)
        self._couriers = Couriers(outbox, self.queue, metrics, clock)
        self._resync = Resync(cluster, self.cache, self.queue, settings.resync_seconds)
        metrics.queue_depth.set_function(lambda: len(self.queue))
        metrics.live.set_function(lambda: len(self.cache))

    async def run(self) -> None:
        """Work for ever; cancel it to stop. Nothing is decided before all live ones are known: a place may be taken."""
        try:
            await self._resync.take_first_look()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.queue.run())
                group.create_task(self._resync.run())
                for _ in range(RUNNERS):
                    group.create_task(self._work())
        finally:
            await self._couriers.dismiss()

    async def reconcile(self, name: str) -> None:
        """One pass over one transcription."""
        try:
            transcription = self.cache.get(name) or await self._find_owner(name)
            if transcription is None:
                self._part_with(name)
                return
            seen = await self._look(transcription)
            await self._perform(seen, decide(seen, self._policy, self._now()))
        except StaleError:
            await self._refresh(name)
            raise
        except MissingError:
            self._part_with(name)

    def _wake_line(self) -> None:
        """A place may be free: have the first in line looked at."""
        if self._settings.max_active:
            for name in self.cache.waiting_in_order()[: self._settings.max_active]:
                self.queue.add(name)

    async def work_once(self) -> None:
        """Wait for a key and reconcile it; an error costs the key a pause, and nobody else anything."""
        name = await self.queue.get()
        started = time.monotonic()
        [error] = await asyncio.gather(self.reconcile(name), return_exceptions=True)
        self._metrics.reconcile_seconds.observe(time.monotonic() - started)
        self._conclude(name, error)

    async def _work(self) -> None:
        while True:
            await self.work_once()

    def _conclude(self, name: str, error: BaseException | None) -> None:
        fields = {"transcription": f"{self._settings.namespace}/{name}"}
        self._metrics.reconciles.labels(type(error).__name__ if error else "ok").inc()
        if error is None:
            self.queue.done(name)
        elif isinstance(error, StaleError):
            self.queue.retry(name)
        elif isinstance(error, TransientError):
            pause = self.queue.retry(name)
            logger.warning("will try again", extra=fields | {"error": str(error), "pause": pause.total_seconds()})
        else:
            self.queue.retry(name)
            trace = None if isinstance(error, ControllerError) else error
            logger.error("reconcile failed", extra=fields | {"error": str(error)}, exc_info=trace)

    async def _refresh(self, name: str) -> None:
        try:
            self.cache.put(await self._cluster.get_transcription(name))
        except MissingError:
            self._part_with(name)

    async def _find_owner(self, name: str) -> Transcription | None:
        """A Job is left over when its transcription has left the watch before it: only then it is read."""
        return await self._cluster.get_transcription(name) if self.cache.has_job_of(name) else None

    async def _look(self, transcription: Transcription) -> Seen:
        job = await self._find_job(transcription)
        pods = await self._cluster.list_pods(job) if job and needs_pods(transcription, job, self._now()) else ()
        has_place = self.cache.has_place(transcription, self._settings.max_active)
        return Seen(transcription, job, pods, self._couriers.report_on(transcription.name), has_place)

    async def _find_job(self, transcription: Transcription) -> JobView | None:
        attempt = transcription.status.attempt
        if attempt == 0:
            return None
        name = build_job_name(transcription.name, attempt)
        job = self.cache.get_job(name)
        if job is None and SETTLED_LABEL not in transcription.labels:
            try:
                job = await self._cluster.get_job(name)
            except MissingError:
                return None
        return job if job and job.owner_uid == transcription.uid else None

    async def _perform(self, seen: Seen, decision: Decision) -> None:
        transcription = seen.transcription
        try:
            for step in decision.steps:
                transcription = await self._do(transcription, step)
        except (NameTakenError, QuotaError, RefusedError) as error:
            if not isinstance(step, CreateJob):
                raise
            await self._turn_away(Seen(transcription), error)
            return
        if seen.report is not None:
            self._couriers.forget(transcription.name)
        if decision.deliver:
            self._couriers.send(transcription)
        self.queue.wake_at(transcription.name, _to_full_second(decision.wake_at))
        if transcription.is_deleting:
            self._wake_line()
        if SETTLED_LABEL in seen.transcription.labels and SETTLED_LABEL in transcription.labels:
            self._forget(transcription.name)

    async def _do(self, transcription: Transcription, step: Step) -> Transcription:
        match step:
            case PatchStatus(status):
                return await self._patch(transcription, status)
            case CreateJob(attempt):
                job = await self._cluster.create_job(build_job(transcription, attempt, self._settings))
                self.cache.put_job(job)
                logger.info("job created", extra={"transcription": transcription.path, "job": job.name})
            case DeleteJob(job):
                await self._cluster.delete_job(job)
                self.cache.drop_job(job.name, job.uid)
                logger.info("job deleted", extra={"transcription": transcription.path, "job": job.name})
            case ExpireJob(job):
                expiring = await self._cluster.expire_job(job)
                if expiring is not None:
                    self.cache.put_job(expiring)
                else:
                    self.cache.drop_job(job.name, job.uid)
            case Settle():
                transcription = await self._cluster.settle(transcription)
                self.cache.put(transcription)
            case Unsettle():
                transcription = await self._cluster.unsettle(transcription)
                self.cache.put(transcription)
        return transcription

    async def _patch(self, transcription: Transcription, status: Status) -> Transcription:
        patch = build_merge_patch(transcription.status.to_manifest(), status.to_manifest())
        if not patch:
            return transcription
        new = await self._cluster.patch_status(transcription, patch)
        self.cache.put(new)
        if new.status.state != transcription.status.state:
            self._tell(new)
        return new

    def _tell(self, transcription: Transcription) -> None:
        status = transcription.status
        reason = status.failure.reason if status.failure else status.waiting_reason
        logger.info(
            "state changed", extra={"transcription": transcription.path, "state": status.state, "reason": reason}
        )
        if final_state(status):
            self._metrics.finished.labels(status.state or "", reason or "").inc()
            self._wake_line()

    async def _turn_away(self, seen: Seen, error: ControllerError) -> None:
        """The cluster did not take the Job: wait for quota, or end it."""
        logger.warning("job not created", extra={"transcription": seen.transcription.path, "error": str(error)})
        if isinstance(error, QuotaError):
            decision = wait(seen, WaitingReason.QUOTA, self._now())
            await self._perform(seen, decision)
            self.queue.wake_at(seen.transcription.name, self._now() + QUOTA_PAUSE)
            return
        reason = Reason.NAME_CONFLICT if isinstance(error, NameTakenError) else Reason.JOB_REFUSED
        await self._perform(seen, fail(seen, build_failure(reason), self._policy, self._now()))

    def _part_with(self, name: str) -> None:
        """It is gone, and its place may be free."""
        self._forget(name)
        self._wake_line()

    def _forget(self, name: str) -> None:
        gone = self.cache.get(name)
        if gone is not None:
            self.cache.drop(name, gone.uid)
        self._couriers.forget(name)
        self.queue.forget(name)

    def _now(self) -> datetime:
        """Whole seconds, as Kubernetes writes times."""
        return self._clock().replace(microsecond=0)


def _to_full_second(when: datetime | None) -> datetime | None:
    """Rounded up, so that a decision in whole seconds finds it due."""
    if when is None or when.microsecond == 0:
        return when
    return when.replace(microsecond=0) + timedelta(seconds=1)
