"""The only door to Kubernetes: patches of this transcription's status. Called by the pipeline, built by `process`.

What is lost here never fails a run: progress is dropped, and the result also goes out as the termination message.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from pydantic import ValidationError

from crds.transcriptionjob import GROUP, PLURAL, VERSION, CallbackRecord, Progress, Result, Status
from crds.worker import Target

ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = httpx2.Timeout(5.0, connect=2.0)
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)

logger = logging.getLogger(__name__)


class Cluster(NamedTuple):
    """Where the API server is, and the pod's own account."""

    url: str
    account: Path = ACCOUNT_FOLDER


def find_cluster(environ: Mapping[str, str]) -> Cluster:
    """The cluster that this pod runs in, by the variables that Kubernetes sets."""
    host, port = (
        environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc"),
        environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    return Cluster(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def build_client(cluster: Cluster) -> httpx2.Client:
    """A client that trusts the cluster's own authority alone."""
    trust = ssl.create_default_context(cafile=str(cluster.account / "ca.crt"))
    return httpx2.Client(base_url=cluster.url, verify=trust, timeout=TIMEOUT, trust_env=False)


class PatchLostError(Exception):
    """No answer, or one that another try may change."""


class PatchRefusedError(Exception):
    """The API server said no: the transcription has ended, is gone or belongs to another run."""


class Reporter:
    """Writes progress, result and callback record of one attempt."""

    def __init__(
        self, client: httpx2.Client, target: Target, account: Path, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._target = target
        self._account = account
        self._pause = pause
        self._is_percent_known = False
        self._one_at_a_time = threading.Lock()

    def open(self, first: Progress) -> Status:
        """Report the start; what an earlier pod of this attempt has left, or nothing when no answer came."""
        if self._target.attempt > 1:
            # an earlier attempt's percent would stay; within this attempt admission refuses that it falls
            afresh = self._send_surely({"progress": _whole(first) | {"percent": 0}})
            if afresh is not None:
                return afresh
        return self.look(first)

    def look(self, progress: Progress) -> Status:
        """Report a stage but no percent, which could fall; what the status holds, or nothing when no answer came."""
        return self._send_surely({"progress": _stamp(progress.to_manifest())}) or Status()

    def report(self, progress: Progress) -> Status | None:
        """Send it, or drop it. The answer, when there is one."""
        whole = _whole(progress)
        if not self._is_percent_known:
            whole.pop("percent", None)
        return self._send({"progress": whole})

    def beat(self, look: Callable[[], Progress]) -> None:
        """A sign of life from another thread: the stage as it is when no other report is under way; or nothing."""
        with self._one_at_a_time:
            try:
                self._patch({"progress": _stamp(look().to_manifest())})
            except (PatchLostError, PatchRefusedError) as error:
                logger.warning("heartbeat dropped", extra={"error": str(error)})

    def report_result(self, progress: Progress, result: Result, callback: CallbackRecord | None) -> bool:
        """The result, its 100 percent and the callback to come, in one patch; False when it was lost or refused."""
        status = {"progress": _whole(progress), "result": result.to_manifest()}
        return self._send_surely(status | ({"callback": callback.to_manifest()} if callback else {})) is not None

    def report_callback(self, callback: CallbackRecord) -> bool:
        """What became of the quick try; False when it was lost or refused."""
        return self._send_surely({"callback": callback.to_manifest()}) is not None

    def _send(self, status: Mapping[str, Any]) -> Status | None:
        try:
            with self._one_at_a_time:
                return self._patch(status)
        except (PatchLostError, PatchRefusedError) as error:
            logger.warning("progress dropped", extra={"error": str(error)})
            return None

    def _send_surely(self, status: Mapping[str, Any]) -> Status | None:
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                with self._one_at_a_time:
                    return self._patch(status)
            except PatchRefusedError as error:
                logger.warning("status patch refused", extra={"error": str(error)})
                return None
            except PatchLostError as error:
                logger.warning("status patch lost", extra={"error": str(error), "retry_in_seconds": pause_seconds})
            if pause_seconds is not None:
                self._pause(pause_seconds)
        return None

    def _patch(self, status: Mapping[str, Any]) -> Status:
        target = self._target
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{target.namespace}/{PLURAL}/{target.name}/status"
        try:
            # the kubelet renews the token's file, so it is read each time
            headers = {"authorization": f"Bearer {(self._account / 'token').read_text().strip()}"}
            headers["content-type"] = "application/merge-patch+json"
            answer = self._client.patch(path, json={"status": dict(status)}, headers=headers)
        except (httpx2.HTTPError, OSError) as error:
            raise PatchLostError(repr(error)) from error
        found = self._parse(answer)
        self._is_percent_known = True
        return found

    def _parse(self, answer: httpx2.Response) -> Status:
        facts = f"{answer.status_code}: {answer.text[:300]}"
        if answer.status_code in {408, 409, 425, 429} or answer.status_code >= 500:
            raise PatchLostError(facts)
        if not answer.is_success:
            raise PatchRefusedError(facts)
        try:
            manifest = answer.json()
            if manifest["metadata"]["uid"] != self._target.uid:
                raise PatchRefusedError("the transcription was deleted and made anew")
            return Status.model_validate(manifest["status"])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise PatchLostError(f"not a transcription: {facts}") from error


def _whole(progress: Progress) -> dict[str, Any]:
    """With nulls, which in a merge patch take away what the last report had; but percent may not go."""
    fields = progress.model_dump(mode="json", by_alias=True)
    if fields["percent"] is None:
        del fields["percent"]
    return _stamp(fields)


def _stamp(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"lastUpdateTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")}
