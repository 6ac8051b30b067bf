"""Takes keys from the queue, reads what is there, asks decide(), and has it done. Started by handlers."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from controller.cache import Cache
from controller.couriers import Couriers
from controller.decision import CreateJob, Decision, Policy, Seen
from controller.ending import has_label
from controller.errors import ControllerError, MissingError, NameTakenError, QuotaError, StaleError, TransientError
from controller.herald import Herald
from controller.metrics import Metrics
from controller.outbox import Outbox
from controller.outcome import build_failure
from controller.performer import JobRefusedError, Performer
from controller.queue import KeyQueue
from controller.reconcile import decide, fail, lacks_result, needs_job, needs_pods, wait
from controller.results import Results
from controller.resync import Resync
from controller.retention import holds_outputs
from controller.settings import ControllerSettings
from controller.views import JobView, PodView
from crds.reasons import Reason, WaitingReason
from crds.transcriptionjob import Transcription
from crds.worker import build_job_name

if TYPE_CHECKING:
    from controller.cluster import Cluster

RUNNERS = 8
QUOTA_PAUSE = timedelta(seconds=30)

logger = logging.getLogger(__name__)


class Loop:
    """One per process: a few runners on the queue, couriers and a herald beside them, a slow resync."""

    def __init__(
        self,
        settings: ControllerSettings,
        cluster: "Cluster",
        outbox: Outbox,
        results: Results,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self.cache = Cache(clock)
        self.queue = KeyQueue(clock, metrics.queue_wait.observe)
        self._settings = settings
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._policy = build_policy(settings)
        self._results = results
        self._couriers = Couriers(outbox, self.queue, metrics, clock)
        self._herald = Herald(cluster, self.queue, settings.instance, clock)
        self._performer = Performer(settings, cluster, results, self.cache, self._herald, metrics, clock)
        self._resync = Resync(cluster, self.cache, self.queue, self._policy, settings.resync_seconds, clock)
        self._parting: set[str] = set()
        self._woken: list[str] = []
        metrics.queue_depth.set_function(lambda: len(self.queue))
        metrics.live.set_function(lambda: len(self.cache))

    async def run(self) -> None:
        """Work for ever; cancel it to stop. Nothing is decided before all live ones are known: a place may be taken."""
        try:
            await self._resync.take_first_look()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.queue.run())
                group.create_task(self._resync.run())
                group.create_task(self._herald.run())
                for _ in range(RUNNERS):
                    group.create_task(self._work())
        finally:
            await self._couriers.dismiss()

    async def reconcile(self, name: str) -> None:
        """One pass over one transcription."""
        try:
            transcription = self._get(name) or await self._find(name)
            if transcription is None:
                return
            self._herald.follow(transcription)
            seen = await self._look(transcription)
            if needs_job(seen):  # one that ended or was deleted, as a later version of the transcription may say
                seen = await self._look(await self._read(name))
            await self._perform(seen, decide(seen, self._policy, self._now()))
        except StaleError:
            await self._refresh(name)
            raise
        except MissingError:
            self._part_with(name)

    async def work_once(self) -> None:
        """Wait for a key and reconcile it; an error costs the key a pause, and nobody else anything."""
        name = await self.queue.get()
        started = time.monotonic()
        [error] = await asyncio.gather(self.reconcile(name), return_exceptions=True)
        self._metrics.reconcile_seconds.observe(time.monotonic() - started)
        self._conclude(name, error)
        self._wake_line()

    async def _work(self) -> None:
        while True:
            await self.work_once()

    def _wake_line(self) -> None:
        """Have those looked at whose turn has come."""
        if not self._settings.max_active:
            return
        first = self.cache.line.first(self._settings.max_active)
        if first is not self._woken:
            self._woken = first
            for name in first:
                self.queue.add(name, urgent=True)

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
            await self._read(name)
        except MissingError:
            self._part_with(name)

    async def _read(self, name: str) -> Transcription:
        """The transcription as it is now."""
        transcription = await self._cluster.get_transcription(name)
        self.cache.put(transcription)
        return transcription

    def _get(self, name: str) -> Transcription | None:
        transcription = self.cache.get(name)
        if transcription is not None and not has_label(transcription):
            self._parting.discard(name)  # it is in the watch, again perhaps
        return transcription

    async def _find(self, name: str) -> Transcription | None:
        """What is not in the watch any more: settled by ourselves, gone, or something is left to do about it."""
        if name in self._parting:
            self._parting.discard(name)
            return None
        transcription = await self._cluster.get_transcription(name)
        if not has_label(transcription):
            self.cache.put(transcription)
        return transcription

    async def _look(self, transcription: Transcription) -> Seen:
        job, others = await self._find_jobs(transcription)
        pods = await self._find_pods(transcription, job)
        is_lacking = lacks_result(transcription, job, pods)
        return Seen(
            transcription,
            job,
            others,
            pods,
            self._couriers.report_on(transcription.name),
            self.cache.has_place(transcription, self._settings.max_active),
            self.cache.heard(transcription.name),
            None if pods or job is None else await self._find_refusal(transcription, job),
            await self._results.find(transcription) if is_lacking else None,
        )

    async def _find_jobs(self, transcription: Transcription) -> tuple[JobView | None, tuple[JobView, ...]]:
        """The Job of the present attempt, and those of attempts before it."""
        jobs = {job.name: job for job in self.cache.jobs_of(transcription.name) if job.owner_uid == transcription.uid}
        if not transcription.status.has_attempt:
            return None, tuple(jobs.values())
        name = build_job_name(transcription.name, transcription.status.attempt)
        job = jobs.pop(name, None)
        if job is None and not has_label(transcription):
            job = await self._read_job(name, transcription.uid)
        return job, tuple(jobs.values())

    async def _read_job(self, name: str, owner_uid: str) -> JobView | None:
        try:
            job = await self._cluster.get_job(name)
        except MissingError:
            return None
        return job if job.owner_uid == owner_uid else None

    async def _find_pods(self, transcription: Transcription, job: JobView | None) -> tuple[PodView, ...]:
        if transcription.is_deleting and holds_outputs(transcription):
            return await self._cluster.list_all_pods(transcription)
        if job is not None and needs_pods(transcription, job, self._now()):
            known = self.cache.take_pods(job)
            return known if known is not None else await self._cluster.list_pods(job)
        return ()

    async def _find_refusal(self, transcription: Transcription, job: JobView) -> str | None:
        """Only a Job that ought to have a pod by now can have been refused one."""
        is_waiting = not (job.ended or job.is_suspended or job.ready)
        if is_waiting and needs_pods(transcription, job, self._now()):
            return await self._cluster.find_refusal(job)
        return None

    async def _perform(self, seen: Seen, decision: Decision) -> None:
        name, starts = seen.transcription.name, any(isinstance(step, CreateJob) for step in decision.steps)
        try:
            with self.cache.place_taken(seen.transcription) if starts else nullcontext():
                transcription = await self._performer.perform(seen.transcription, decision.steps)
        except JobRefusedError as refusal:
            await self._turn_away(Seen(refusal.transcription), refusal.cause)
            return
        if seen.report is not None:
            self._couriers.forget(name)
        if decision.deliver:
            self._couriers.send(transcription)
        self.queue.wake_at(name, _to_full_second(decision.wake_at))
        if has_label(transcription):
            self._leave(seen.transcription, transcription)

    def _leave(self, before: Transcription, now: Transcription) -> None:
        """It has the label: the watch says once more that it is gone, unless it was out already or has said so."""
        self._couriers.forget(now.name)
        self._herald.forget(now.name)
        if has_label(before):
            self.cache.drop(now.name, now.uid)
            self._parting.discard(now.name)
        else:
            self._parting.add(now.name)

    async def _turn_away(self, seen: Seen, error: ControllerError) -> None:
        """The cluster did not take the Job: wait for quota, or end it."""
        logger.warning("job not created", extra={"transcription": seen.transcription.path, "error": str(error)})
        if isinstance(error, QuotaError):
            decision = wait(seen, WaitingReason.QUOTA, self._policy, self._now())
            await self._perform(seen, decision)
            self.queue.wake_at(seen.transcription.name, self._now() + QUOTA_PAUSE)
            return
        reason = Reason.NAME_CONFLICT if isinstance(error, NameTakenError) else Reason.JOB_REFUSED
        await self._perform(seen, fail(seen, build_failure(reason), self._policy, self._now()))

    def _part_with(self, name: str) -> None:
        """It is gone."""
        gone = self.cache.get(name)
        if gone is not None:
            self.cache.drop(name, gone.uid)
        self._parting.discard(name)
        self._couriers.forget(name)
        self._herald.forget(name)
        self.queue.forget(name)

    def _now(self) -> datetime:
        """Whole seconds, as Kubernetes writes times."""
        return self._clock().replace(microsecond=0)


def build_policy(settings: ControllerSettings) -> Policy:
    """What the installation wants, as decisions need it."""
    ttl = settings.ttl_seconds_after_finished
    return Policy(
        callback_url=settings.callback_url,
        retry_schedule=settings.callback_retry_schedule,
        default_model=settings.default_model,
        heartbeat=timedelta(seconds=settings.heartbeat_seconds),
        ttl=timedelta(seconds=ttl) if ttl is not None else None,
    )


def _to_full_second(when: datetime | None) -> datetime | None:
    """Rounded up, so that a decision in whole seconds finds it due."""
    if when is None or when.microsecond == 0:
        return when
    return when.replace(microsecond=0) + timedelta(seconds=1)
