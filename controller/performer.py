"""Does the steps of a decision, one after the other. Owned by the loop."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from controller.cache import Cache
from controller.decision import (
    CreateJob,
    DeleteJob,
    DeleteOutputs,
    DeleteTranscription,
    HoldOutputs,
    PatchStatus,
    ReleaseOutputs,
    Settle,
    Step,
    Unsettle,
)
from controller.errors import ControllerError, MissingError, NameTakenError, QuotaError, RefusedError, StaleError
from controller.events import tell_of_job
from controller.herald import Herald
from controller.job_builder import build_job
from controller.measures import observe_transition
from controller.merge_patch import build_merge_patch
from controller.metrics import Metrics
from controller.results import Results
from controller.settings import ControllerSettings
from controller.views import JobView
from crds.transcriptionjob import Status, Transcription

if TYPE_CHECKING:
    from controller.cluster import Cluster

logger = logging.getLogger(__name__)


class JobRefusedError(Exception):
    """The cluster did not take the Job; the cause says why."""

    def __init__(self, transcription: Transcription, cause: ControllerError) -> None:
        super().__init__(str(cause))
        self.transcription = transcription
        """As it is now: the steps before were done."""
        self.cause = cause


class Performer:
    """Writes to the cluster and to S3, and keeps in the cache what came of it."""

    def __init__(
        self,
        settings: ControllerSettings,
        cluster: "Cluster",
        results: Results,
        cache: Cache,
        herald: Herald,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._results = results
        self._cache = cache
        self._herald = herald
        self._metrics = metrics
        self._clock = clock

    async def perform(self, transcription: Transcription, steps: Sequence[Step]) -> Transcription:
        """All of them; the transcription as it is then. JobRefusedError, or whatever the doors raise."""
        for step in steps:
            transcription = await self._do(transcription, step)
        return transcription

    async def _do(self, transcription: Transcription, step: Step) -> Transcription:  # a table
        match step:
            case PatchStatus(status):
                return await self._patch(transcription, status)
            case CreateJob(attempt):
                await self._create_job(transcription, attempt)
            case DeleteJob(job):
                await self._delete_job(transcription, job)
            case Settle():
                return self._keep(await self._cluster.settle(transcription))
            case Unsettle():
                return self._keep(await self._cluster.unsettle(transcription))
            case HoldOutputs():
                return self._keep(await self._cluster.hold_outputs(transcription))
            case ReleaseOutputs():
                return self._keep(await self._cluster.release_outputs(transcription))
            case DeleteOutputs():
                await self._results.delete_outputs(transcription)
                logger.info("outputs deleted", extra={"transcription": transcription.path})
            case DeleteTranscription():
                await self._cluster.delete_transcription(transcription)
                logger.info("transcription expired", extra={"transcription": transcription.path})
        return transcription

    def _keep(self, transcription: Transcription) -> Transcription:
        self._cache.put(transcription)
        return transcription

    async def _create_job(self, transcription: Transcription, attempt: int) -> None:
        manifest = build_job(transcription, attempt, self._settings, self._cache.line.active)
        try:
            job = await self._cluster.create_job(manifest)
        except (NameTakenError, QuotaError, RefusedError) as error:
            raise JobRefusedError(transcription, error) from error
        self._cache.put_job(job)
        self._herald.tell(transcription, [tell_of_job(transcription.status)])
        logger.info("job created", extra={"transcription": transcription.path, "job": job.name})

    async def _delete_job(self, transcription: Transcription, job: JobView) -> None:
        """As it was seen: one that has changed since may have ended, and is looked at again."""
        try:
            await self._cluster.delete_job(job)
        except StaleError:
            await self._read_job(job)
            raise
        self._cache.drop_job(job.name, job.uid)
        logger.info("job deleted", extra={"transcription": transcription.path, "job": job.name})

    async def _read_job(self, job: JobView) -> None:
        try:
            self._cache.put_job(await self._cluster.get_job(job.name))
        except MissingError:
            self._cache.drop_job(job.name, job.uid)

    async def _patch(self, transcription: Transcription, status: Status) -> Transcription:
        patch = build_merge_patch(transcription.status.to_manifest(), status.to_manifest())
        if not patch:
            return transcription
        new = self._keep(await self._cluster.patch_status(transcription, patch))
        observe_transition(self._metrics, transcription, new, self._clock())
        self._herald.follow(new)
        if new.status.state != transcription.status.state:
            self._tell(new)
        return new

    def _tell(self, transcription: Transcription) -> None:
        status = transcription.status
        reason = status.failure.reason if status.failure else status.waiting_reason
        logger.info(
            "state changed", extra={"transcription": transcription.path, "state": status.state, "reason": reason}
        )
