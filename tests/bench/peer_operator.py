"""The peer of the controller's benches: the operator that Kopf's documentation leads to. Started by controller_sides.

One handler for each thing that happens, the official client's typed calls, Kopf's own settings. The Job's manifest is
ours, so that both sides ask the cluster for the same. It shows less than we do: no waiting, no running, no callback.
"""

from typing import Any

import kopf
import kubernetes

from controller.job_builder import build_job
from controller.settings import ControllerSettings
from crds.transcriptionjob import (
    GROUP,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAME_LABEL,
    PLURAL,
    VERSION,
    Transcription,
)

SETTINGS = ControllerSettings()


@kopf.on.startup()
def connect(**_: Any) -> None:
    kubernetes.config.load_kube_config()


@kopf.on.create(GROUP, VERSION, PLURAL)
def create_job(body: kopf.Body, namespace: str, patch: kopf.Patch, **_: Any) -> None:
    manifest = build_job(Transcription.parse(body), 1, SETTINGS)
    job = kubernetes.client.BatchV1Api().create_namespaced_job(namespace, manifest)
    patch.status["state"] = "Starting"
    patch.status["message"] = "The Job is created."
    patch.status["attempt"] = 1
    patch.status["jobRef"] = {"name": job.metadata.name, "uid": job.metadata.uid}


@kopf.on.event("batch", "v1", "jobs", labels={MANAGED_BY_LABEL: MANAGED_BY})
def follow_job(event: kopf.RawEvent, namespace: str, labels: kopf.Labels, status: kopf.Status, **_: Any) -> None:
    ended = {one["type"] for one in status.get("conditions") or [] if one["status"] == "True"}
    if event["type"] == "DELETED" or not ended & {"Complete", "Failed"}:
        return
    state = "Succeeded" if "Complete" in ended else "Failed"
    change = {
        "status": {"state": state, "message": "The Job has ended.", "completionTime": status.get("completionTime")}
    }
    kubernetes.client.CustomObjectsApi().patch_namespaced_custom_object_status(
        GROUP, VERSION, namespace, PLURAL, labels[NAME_LABEL], change
    )
