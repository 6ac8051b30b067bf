"""The batch Job of one attempt, built from the transcription and the settings. Pure; called by the loop."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from controller.settings import ControllerSettings, WorkerPod
from crds.reasons import GPU_EXIT_CODES, PERMANENT_EXIT_CODES
from crds.transcriptionjob import (
    API_VERSION,
    ATTEMPT_LABEL,
    KIND,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAME_LABEL,
    QUEUE_LABEL,
    TENANT_LABEL,
    UID_LABEL,
    Transcription,
)
from crds.worker import (
    CALLBACK_ALLOWED_HOSTS_ENV,
    CALLBACK_PREVIOUS_SECRET_ENV,
    CALLBACK_SECRET_ENV,
    CONTAINER_NAME,
    LOG_LEVEL_ENV,
    POD_UID_ENV,
    S3_ENDPOINT_ENV,
    S3_PATH_STYLE_ENV,
    S3_REGION_ENV,
    TASK_ENV,
    Target,
    WorkerTask,
    build_callback_id,
    build_job_name,
    build_result_prefix,
)

USER = 65532
BACKOFF_LIMIT = 6
GRACE_SECONDS = 15
TTL_SECONDS = 600  # time enough to see how it ended, and less than alerts on failed Jobs wait
SCRATCH_LIMIT = "20Gi"  # by the worker's defaults 10 of media, 0.5 of samples, 0.7 of spectrogram, 3 of a model
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a folder
MOST_REPORTS_A_SECOND = 100
REPORTS_A_HEARTBEAT = 5
TOKEN_SECONDS = 3607  # the kubelet renews it; an odd value is never taken for the default


def build_job(
    transcription: Transcription, attempt: int, settings: ControllerSettings, active: int = 0
) -> dict[str, Any]:
    """The manifest of the attempt's Job, made while so many are at work.

    With a queue it is suspended until Kueue admits it. Its own deadline is the outer net, should nobody control it.
    """
    labels = _build_labels(transcription, attempt)
    queue = transcription.spec.queue_name
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": build_job_name(transcription.name, attempt),
            "namespace": transcription.namespace,
            "labels": labels | ({QUEUE_LABEL: queue} if queue else {}),
            "ownerReferences": [_build_owner(transcription)],
        },
        "spec": {
            **({"suspend": True} if queue else {}),
            "activeDeadlineSeconds": transcription.spec.limits.total_seconds,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "backoffLimit": BACKOFF_LIMIT,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _build_failure_policy(),
            "template": {
                "metadata": {
                    "labels": settings.worker_pod.labels | labels,
                    "annotations": dict(settings.worker_pod.annotations),
                },
                "spec": _build_pod(transcription, build_task(transcription, attempt, settings, active), settings),
            },
        },
    }


def build_task(transcription: Transcription, attempt: int, settings: ControllerSettings, active: int = 0) -> WorkerTask:
    """What the worker is told. The more are at work, the more rarely each reports: all together 100 times a second."""
    t, spec = transcription, transcription.spec
    return WorkerTask(
        target=Target(namespace=t.namespace, name=t.name, uid=t.uid, attempt=attempt),
        source=spec.source,
        model=spec.model or settings.default_model,
        language=None if spec.language == "auto" else spec.language,
        language_options=spec.language_options,
        engine=spec.engine,
        task=spec.task,
        word_timestamps=spec.word_timestamps,
        initial_prompt=spec.initial_prompt,
        formats=spec.formats,
        result_bucket=settings.s3_bucket,
        result_prefix=build_result_prefix(t.namespace, t.name, t.uid, attempt),
        callback_url=spec.callback.url if spec.callback else settings.callback_url,
        callback_id=build_callback_id(t.uid, attempt),
        metadata=spec.metadata,
        progress_interval_seconds=_find_interval(settings, active),
    )


def _find_interval(settings: ControllerSettings, active: int) -> float:
    """Yet never so rarely that a worker would be taken for silent."""
    wanted = max(settings.progress_interval_seconds, active / MOST_REPORTS_A_SECOND)
    return min(wanted, max(settings.progress_interval_seconds, settings.heartbeat_seconds / REPORTS_A_HEARTBEAT))


def _build_labels(transcription: Transcription, attempt: int) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "transcription-worker",
        "app.kubernetes.io/component": "worker",
        MANAGED_BY_LABEL: MANAGED_BY,
        NAME_LABEL: transcription.name,
        UID_LABEL: transcription.uid,
        ATTEMPT_LABEL: str(attempt),
        TENANT_LABEL: transcription.spec.tenant,
    }


def _build_owner(transcription: Transcription) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": transcription.name,
        "uid": transcription.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _build_failure_policy() -> dict[str, Any]:
    """The first rule that fits counts. A GPU fault ends the Job, because the next attempt goes to another node."""
    permanent = {"containerName": CONTAINER_NAME, "operator": "In", "values": list(PERMANENT_EXIT_CODES)}
    gpu = permanent | {"values": list(GPU_EXIT_CODES)}
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": permanent},
            {"action": "FailJob", "onExitCodes": gpu},
            {"action": "Ignore", "onPodConditions": disrupted},
        ]
    }


def _build_pod(transcription: Transcription, task: WorkerTask, settings: ControllerSettings) -> dict[str, Any]:
    pod = settings.worker_pod
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": transcription.spec.limits.run_seconds,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "serviceAccountName": settings.worker_service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_build_container(transcription, task, settings)],
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_LIMIT}},
            {"name": "token", "projected": {"sources": _build_token_sources()}},
            *deepcopy(pod.volumes),
        ],
    }
    return spec | _build_placement(pod, transcription)


def _build_placement(pod: WorkerPod, transcription: Transcription) -> dict[str, Any]:
    """Where the pod may run; what is empty is left out."""
    placement: dict[str, Any] = {
        "imagePullSecrets": list(deepcopy(pod.image_pull_secrets)),
        "nodeSelector": dict(pod.node_selector),
        "tolerations": list(deepcopy(pod.tolerations)),
        "affinity": _build_affinity(pod, transcription.status.avoid_nodes),
        "runtimeClassName": pod.runtime_class_name,
        "priorityClassName": transcription.spec.priority or pod.priority_class_name,
    }
    return {key: value for key, value in placement.items() if value}


def _build_affinity(pod: WorkerPod, avoided: Sequence[str]) -> dict[str, Any]:
    """The installation's own, and a wish for other nodes: no more than that, because there may be no other."""
    affinity = deepcopy(pod.affinity)
    if avoided:
        others = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in avoided]
        term = {"weight": 100, "preference": {"matchFields": others}}
        node = affinity.setdefault("nodeAffinity", {})
        node.setdefault("preferredDuringSchedulingIgnoredDuringExecution", []).append(term)
    return affinity


def _build_container(transcription: Transcription, task: WorkerTask, settings: ControllerSettings) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER_NAME,
        "image": settings.worker_image,
        "imagePullPolicy": settings.worker_image_pull_policy,
        "env": _build_env(task, settings),
        "resources": _build_resources(transcription, settings.worker_pod),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108  # the pod's own
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            *deepcopy(settings.worker_pod.volume_mounts),
        ],
    }
    if settings.worker_s3_secret:
        container["envFrom"] = [{"secretRef": {"name": settings.worker_s3_secret}}]
    return container


def _build_env(task: WorkerTask, settings: ControllerSettings) -> list[dict[str, Any]]:
    env: list[dict[str, Any]] = [
        {"name": TASK_ENV, "value": _render_task(task)},
        {"name": POD_UID_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": S3_REGION_ENV, "value": settings.s3_region},
        {"name": S3_PATH_STYLE_ENV, "value": str(settings.s3_path_style).lower()},
        {"name": LOG_LEVEL_ENV, "value": settings.log_level},
    ]
    if settings.s3_endpoint:
        env.append({"name": S3_ENDPOINT_ENV, "value": settings.s3_endpoint})
    if settings.callback_secret_name:
        key = {"name": settings.callback_secret_name, "key": "secret"}
        before = {**key, "key": "previousSecret", "optional": True}
        env.append({"name": CALLBACK_SECRET_ENV, "valueFrom": {"secretKeyRef": key}})
        env.append({"name": CALLBACK_PREVIOUS_SECRET_ENV, "valueFrom": {"secretKeyRef": before}})
    if hosts := settings.allowed_hosts(task.callback_url):
        env.append({"name": CALLBACK_ALLOWED_HOSTS_ENV, "value": ",".join(hosts)})
    return env + list(deepcopy(settings.worker_pod.env))


def _render_task(task: WorkerTask) -> str:
    """JSON without a dollar sign: the kubelet would put the value of a variable, even a secret, in place of $(NAME)."""
    return task.model_dump_json(by_alias=True, exclude_none=True).replace("$", "\\u0024")


def _build_resources(transcription: Transcription, pod: WorkerPod) -> dict[str, Any]:
    wanted, limits = transcription.spec.resources, dict(pod.resources.limits)
    if wanted.gpu > 0:
        limits[wanted.gpu_resource] = wanted.gpu
    return {"requests": dict(pod.resources.requests), "limits": limits}


def _build_token_sources() -> list[dict[str, Any]]:
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
