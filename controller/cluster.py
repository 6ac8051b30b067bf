"""The only Kubernetes door: every read and write of the controller but the watches, which Kopf keeps.

Rights it needs, all in the namespace it serves:

    transcription.ecg.dev  transcriptionjobs             get, list, watch, patch, delete   (patch: label, finalizer)
    transcription.ecg.dev  transcriptionjobs/status      patch
    transcription.ecg.dev  transcriptionjobs/finalizers  update                            (blockOwnerDeletion)
    batch                  jobs                          get, list, watch, create, patch, delete
    ""                     pods                          list
    ""                     events                        list                              (why a Job has no pod)
    events.k8s.io          events                        create

Kopf, with scanning, peering and event posting off, needs list and watch of the two kinds above and the discovery
that every account may read; nothing in the cluster scope.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from controller.apiserver import ApiServer
from controller.errors import MissingError, NameTakenError, StaleError, TransientError
from controller.views import JobView, PodView
from crds.transcriptionjob import (
    GROUP,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    OUTPUTS_FINALIZER,
    PLURAL,
    SETTLED_LABEL,
    UID_LABEL,
    VERSION,
    Transcription,
)

LIVE_SELECTOR = f"!{SETTLED_LABEL}"
JOBS_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
JOB_UID_LABEL = "batch.kubernetes.io/controller-uid"
Manifest = dict[str, Any]

logger = logging.getLogger(__name__)


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._transcriptions = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._old_events = f"/api/v1/namespaces/{namespace}/events"
        self._events = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"

    async def check_served(self) -> None:
        """Whether the resource is there and may be read; MissingError when it is not."""
        await self._server.call("GET", f"{self._transcriptions}?limit=1")

    async def list_live(self) -> AsyncIterator[Transcription]:
        """Every transcription that is not settled, page by page; what cannot be read is left out."""
        async for page in self._server.pages(self._transcriptions, {"labelSelector": LIVE_SELECTOR}):
            for item in page:
                if transcription := parse_transcription(item):
                    yield transcription

    async def list_settled(self, is_wanted: Callable[[Manifest], bool]) -> AsyncIterator[Transcription]:
        """Every settled one that is wanted, looked at as the API server sends it, which is cheap."""
        async for page in self._server.pages(self._transcriptions, {"labelSelector": SETTLED_LABEL}):
            for item in page:
                if is_wanted(item) and (transcription := parse_transcription(item)):
                    yield transcription

    async def get_transcription(self, name: str) -> Transcription:
        """The transcription as it is now; MissingError when it is gone."""
        return Transcription.parse(await self._server.call("GET", f"{self._transcriptions}/{name}"))

    async def patch_status(self, transcription: Transcription, patch: Mapping[str, Any]) -> Transcription:
        """Merge into status; StaleError when the resource has changed since it was read."""
        body = {"metadata": {"resourceVersion": transcription.resource_version}, "status": patch}
        return await self._patch(f"{transcription.name}/status", body)

    async def settle(self, transcription: Transcription) -> Transcription:
        """Put the settled label on; StaleError when the resource has changed since it was read."""
        return await self._patch_meta(transcription, {"labels": {SETTLED_LABEL: "true"}})

    async def unsettle(self, transcription: Transcription) -> Transcription:
        """Take the settled label off; StaleError when the resource has changed since it was read."""
        return await self._patch_meta(transcription, {"labels": {SETTLED_LABEL: None}})

    async def hold_outputs(self, transcription: Transcription) -> Transcription:
        """Put our finalizer on; StaleError when the resource has changed since it was read."""
        finalizers = [*transcription.finalizers, OUTPUTS_FINALIZER]
        return await self._patch_meta(transcription, {"finalizers": finalizers})

    async def release_outputs(self, transcription: Transcription) -> Transcription:
        """Take our finalizer off, and nobody else's; StaleError when the resource has changed since it was read."""
        left = [finalizer for finalizer in transcription.finalizers if finalizer != OUTPUTS_FINALIZER]
        return await self._patch_meta(transcription, {"finalizers": left})

    async def delete_transcription(self, transcription: Transcription) -> None:
        """Delete it as it was read; StaleError when it has changed since. Nothing happens when it is gone."""
        wanted = {"uid": transcription.uid, "resourceVersion": transcription.resource_version}
        body = {"propagationPolicy": "Background", "preconditions": wanted}
        try:
            await self._server.write("DELETE", f"{self._transcriptions}/{transcription.name}", body)
        except MissingError:
            return

    async def _patch_meta(self, transcription: Transcription, changes: Mapping[str, Any]) -> Transcription:
        body = {"metadata": {"resourceVersion": transcription.resource_version, **changes}}
        return await self._patch(transcription.name, body)

    async def _patch(self, path: str, body: Manifest) -> Transcription:
        return Transcription.parse(await self._server.write("PATCH", f"{self._transcriptions}/{path}", body))

    async def list_jobs(self) -> AsyncIterator[JobView]:
        """Every Job of ours; ended ones for a few minutes, until Kubernetes deletes them."""
        async for page in self._server.pages(self._jobs, {"labelSelector": JOBS_SELECTOR}):
            for item in page:
                if job := parse_job(item):
                    yield job

    async def get_job(self, name: str) -> JobView:
        """The Job as it is now; MissingError when it is gone."""
        return JobView.parse(await self._server.call("GET", f"{self._jobs}/{name}"))

    async def create_job(self, manifest: Mapping[str, Any]) -> JobView:
        """Create it once: one of that name with the same owner is ours already; NameTakenError for another's."""
        owner = manifest["metadata"]["ownerReferences"][0]
        try:
            return JobView.parse(await self._server.write("POST", self._jobs, manifest))
        except StaleError:
            there = await self._get_taken(manifest["metadata"]["name"])
        if there.owner_uid == owner["uid"]:
            return there
        if there.owner_name == owner["name"] or there.is_deleting:
            raise TransientError("the Job of a deleted transcription of that name is still there")
        raise NameTakenError(f"Job {there.name} is not ours")

    async def _get_taken(self, name: str) -> JobView:
        try:
            return await self.get_job(name)
        except MissingError as error:
            raise TransientError("the Job that had the name has just gone") from error

    async def delete_job(self, job: JobView) -> None:
        """Delete this very Job as it was read; its pods get SIGTERM at once. Nothing happens when it is gone.

        StaleError when it has changed since, or another one has its name.
        """
        wanted = {"uid": job.uid, "resourceVersion": str(job.resource_version)}
        body = {"propagationPolicy": "Background", "preconditions": wanted}
        try:
            await self._server.write("DELETE", f"{self._jobs}/{job.name}", body)
        except MissingError:
            return

    async def list_pods(self, job: JobView) -> tuple[PodView, ...]:
        """The pods of a Job."""
        return await self._list_pods(f"{JOB_UID_LABEL}={job.uid}")

    async def list_all_pods(self, transcription: Transcription) -> tuple[PodView, ...]:
        """The pods of all its Jobs, deleted ones' too."""
        return await self._list_pods(f"{UID_LABEL}={transcription.uid}")

    async def list_pods_by_job(self) -> dict[str, tuple[PodView, ...]]:
        """The pods of all Jobs of ours, by the Job's UID, page by page."""
        found: dict[str, tuple[PodView, ...]] = {}
        async for page in self._server.pages(self._pods, {"labelSelector": JOBS_SELECTOR}):
            for item in page:
                uid = item["metadata"]["labels"].get(JOB_UID_LABEL, "")
                found[uid] = (*found.get(uid, ()), PodView.parse(item))
        return found

    async def _list_pods(self, selector: str) -> tuple[PodView, ...]:
        pages = self._server.pages(self._pods, {"labelSelector": selector})
        return tuple([PodView.parse(item) async for page in pages for item in page])

    async def find_refusal(self, job: JobView) -> str | None:
        """What the cluster said last when it refused to make a pod of the Job; None when it did not."""
        query = {"fieldSelector": f"involvedObject.uid={job.uid},reason=FailedCreate"}
        pages = self._server.pages(self._old_events, query)
        events = [event async for page in pages for event in page]
        last = max(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime")), default={})
        return last.get("message")

    async def create_event(self, manifest: Mapping[str, Any]) -> None:
        """Post it once: one of that name is there already."""
        try:
            await self._server.write("POST", self._events, manifest)
        except StaleError:
            return


def parse_transcription(manifest: Mapping[str, Any]) -> Transcription | None:
    """A resource as the API server sends it; None, and a line in the log, when it does not fit the schema."""
    try:
        return Transcription.parse(manifest)
    except (ValueError, KeyError, TypeError) as error:
        meta = manifest["metadata"]
        name = f"{meta.get('namespace')}/{meta.get('name')}"
        logger.error("unreadable transcription", extra={"transcription": name, "error": str(error)})  # noqa: TRY400
        return None


def parse_job(manifest: Mapping[str, Any]) -> JobView | None:
    """A Job as the API server sends it; None, and a line in the log, when it makes no sense."""
    try:
        return JobView.parse(manifest)
    except (ValueError, KeyError, TypeError) as error:
        meta = manifest["metadata"]
        fields = {"job": meta.get("name"), "namespace": meta.get("namespace"), "error": str(error)}
        logger.error("unreadable job", extra=fields)  # noqa: TRY400
        return None
