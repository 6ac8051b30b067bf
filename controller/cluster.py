"""The only Kubernetes door: every read and write of the controller but the watches, which Kopf keeps.

Rights it needs, all in the namespace it serves:

    transcription.ecg.dev  transcriptionjobs             get, list, watch, patch   (patch: the settled label)
    transcription.ecg.dev  transcriptionjobs/status      patch
    transcription.ecg.dev  transcriptionjobs/finalizers  update                    (blockOwnerDeletion of its Jobs)
    batch                  jobs                          get, list, watch, create, patch, delete
    ""                     pods                          list
    coordination.k8s.io    leases                        get, update (its own), create   (leader.py, by call())

Kopf, with scanning, peering and event posting off, needs list and watch of the two kinds above and the discovery
that every account may read; nothing in the cluster scope.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from controller.errors import (
    MissingError,
    NameTakenError,
    NotLeadingError,
    QuotaError,
    RefusedError,
    StaleError,
    TransientError,
)
from controller.views import JobView, PodView
from crds.transcriptionjob import GROUP, PLURAL, SETTLED_LABEL, VERSION, Transcription

LIVE_SELECTOR = f"!{SETTLED_LABEL}"
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "transcription-controller"
JOB_UID_LABEL = "batch.kubernetes.io/controller-uid"
PAGE_SIZE = 500
TIMEOUT_SECONDS = 30
CONNECTIONS = 16
JOB_TTL_SECONDS = 600
CONFLICT = 409
CountCall = Callable[[str, str, int], None]
"""Told the verb, the resource and the status code of each answer."""

logger = logging.getLogger(__name__)


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, api: client.ApiClient, namespace: str, count_call: CountCall) -> None:
        self._api = api
        self._count_call = count_call
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write but those of the lease."""
        self._transcriptions = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    @classmethod
    async def connect(cls, namespace: str, count_call: CountCall) -> Self:
        """Inside a pod by its ServiceAccount, elsewhere by the kubeconfig."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)
        configuration.connection_pool_maxsize = CONNECTIONS
        return cls(client.ApiClient(configuration), namespace, count_call)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._api.close()

    async def check_served(self) -> None:
        """Whether the resource is there and may be read; MissingError when it is not."""
        await self.call("GET", f"{self._transcriptions}?limit=1")

    async def list_live(self) -> AsyncIterator[Transcription]:
        """Every transcription that is not settled, page by page; what cannot be read is left out."""
        async for page in self._pages(self._transcriptions, {"labelSelector": LIVE_SELECTOR}):
            for item in page:
                if transcription := parse_transcription(item):
                    yield transcription

    async def list_asked(self) -> AsyncIterator[Transcription]:
        """Every settled one whose spec was changed since, and that nobody has put back into the watch."""
        async for page in self._pages(self._transcriptions, {"labelSelector": SETTLED_LABEL}):
            for item in page:
                if _is_behind(item) and (transcription := parse_transcription(item)):
                    yield transcription

    async def get_transcription(self, name: str) -> Transcription:
        """The transcription as it is now; MissingError when it is gone."""
        return Transcription.parse(await self.call("GET", f"{self._transcriptions}/{name}"))

    async def patch_status(self, transcription: Transcription, patch: Mapping[str, Any]) -> Transcription:
        """Merge into status; StaleError when the resource has changed since it was read."""
        body = {"metadata": {"resourceVersion": transcription.resource_version}, "status": patch}
        path = f"{self._transcriptions}/{transcription.name}/status"
        return Transcription.parse(await self._write("PATCH", path, body))

    async def settle(self, transcription: Transcription) -> Transcription:
        """Put the settled label on; StaleError when the resource has changed since it was read."""
        return await self._label(transcription, "true")

    async def unsettle(self, transcription: Transcription) -> Transcription:
        """Take the settled label off; StaleError when the resource has changed since it was read."""
        return await self._label(transcription, None)

    async def _label(self, transcription: Transcription, value: str | None) -> Transcription:
        labels = {SETTLED_LABEL: value}
        body = {"metadata": {"resourceVersion": transcription.resource_version, "labels": labels}}
        path = f"{self._transcriptions}/{transcription.name}"
        return Transcription.parse(await self._write("PATCH", path, body))

    async def get_job(self, name: str) -> JobView:
        """The Job as it is now; MissingError when it is gone."""
        return JobView.parse(await self.call("GET", f"{self._jobs}/{name}"))

    async def create_job(self, manifest: Mapping[str, Any]) -> JobView:
        """Create it once: one of that name with the same owner is ours already; NameTakenError for another's."""
        owner = manifest["metadata"]["ownerReferences"][0]
        try:
            return JobView.parse(await self._write("POST", self._jobs, manifest))
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
        """Delete this very Job; its pods get SIGTERM at once. Nothing happens when it is gone."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": job.uid}}
        try:
            await self._write("DELETE", f"{self._jobs}/{job.name}", body)
        except (MissingError, StaleError):
            return

    async def expire_job(self, job: JobView) -> JobView | None:
        """Let the Job be removed a while from now, and leave the watch; None when it is gone already."""
        body = {
            "metadata": {"uid": job.uid, "labels": {SETTLED_LABEL: "true"}},
            "spec": {"ttlSecondsAfterFinished": JOB_TTL_SECONDS},
        }
        try:
            return JobView.parse(await self._write("PATCH", f"{self._jobs}/{job.name}", body))
        except (MissingError, StaleError):
            return None

    async def list_pods(self, job: JobView) -> tuple[PodView, ...]:
        """The pods of a Job."""
        query = {"labelSelector": f"{JOB_UID_LABEL}={job.uid}"}
        return tuple([PodView.parse(item) async for page in self._pages(self._pods, query) for item in page])

    async def _pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[list[dict[str, Any]]]:
        more = ""
        while True:
            asked = {**query, "limit": str(PAGE_SIZE)} | ({"continue": more} if more else {})
            page = await self.call("GET", f"{path}?{urlencode(asked)}")
            yield page["items"]
            more = page["metadata"].get("continue") or ""
            if not more:
                return

    async def _write(self, verb: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if not self.may_write():
            raise NotLeadingError(f"{verb} {path}: this process does not lead any more")
        return await self.call(verb, path, body)

    async def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request and its answer, translated into errors.py; asks nobody whether it may."""
        if verb in {"POST", "PATCH"}:
            path = f"{path}?fieldManager={FIELD_MANAGER}"
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = MERGE_PATCH if verb == "PATCH" else "application/json"
        try:
            response = await self._api.call_api(
                path,
                verb,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=TIMEOUT_SECONDS,
            )
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._count_call(verb, _resource(path), 0)
            raise TransientError(f"{verb} {path}: {type(error).__name__}") from error
        self._count_call(verb, _resource(path), response.status)
        if response.status >= 400:
            _raise_for(verb, path, response.status, data)
        return dict(json.loads(data))


def _raise_for(verb: str, path: str, code: int, data: bytes) -> None:
    message = f"{verb} {path}: {code} {_parse_message(data)}"
    if code == 404:
        raise MissingError(message)
    if code == CONFLICT:
        raise StaleError(message)
    if code == 403 and "exceeded quota" in message:
        raise QuotaError(message)
    if code in {401, 408, 429} or code >= 500 or (code == 403 and "cannot " in message):
        raise TransientError(message)
    raise RefusedError(message)


def _parse_message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))[:500]
    except (ValueError, AttributeError):
        return ""


def parse_transcription(manifest: Mapping[str, Any]) -> Transcription | None:
    """A resource as the API server sends it; None, and a line in the log, when it does not fit the schema."""
    try:
        return Transcription.parse(manifest)
    except (ValueError, KeyError, TypeError) as error:
        meta = manifest["metadata"]
        name = f"{meta.get('namespace')}/{meta.get('name')}"
        logger.error("unreadable transcription", extra={"transcription": name, "error": str(error)})  # noqa: TRY400
        return None


def _is_behind(manifest: Mapping[str, Any]) -> bool:
    status = manifest.get("status") or {}
    return int(status.get("observedGeneration") or 0) < int(manifest["metadata"].get("generation") or 1)


def _resource(path: str) -> str:
    """transcriptionjobs, transcriptionjobs/status, jobs or pods."""
    kind, _, rest = path.partition("?")[0].rpartition("/namespaces/")[2].partition("/")[2].partition("/")
    return f"{kind}/status" if rest.endswith("/status") else kind
