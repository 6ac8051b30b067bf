"""What a worker that has turned evil may try with its own token. None of it may change anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2 as httpx

from crds.transcriptionjob import API_VERSION, GROUP, KIND, OUTPUTS_FINALIZER, PLURAL, SETTLED_LABEL
from crds.worker import build_job_name
from tests.support.admin import APPLY, JSON_PATCH, MERGE, STRATEGIC
from tests.support.worker_writes import Worker

Document = dict[str, Any]
HOME = f"/apis/{API_VERSION}/namespaces/{{ns}}/{PLURAL}"
OWN, OTHER = f"{HOME}/{{own}}", f"{HOME}/{{other}}"
CORE, BATCH = "/api/v1/namespaces/{ns}", "/apis/batch/v1/namespaces/{ns}/jobs"
CONDITION = {"type": "Finished", "status": "True", "reason": "Succeeded", "lastTransitionTime": "2026-01-01T00:00:00Z"}
LABELS = {"metadata": {"labels": {SETTLED_LABEL: "true"}}}


@dataclass(frozen=True)
class Attacker:
    """A worker, the victim beside it, and the account that it runs as."""

    worker: Worker
    other: Worker
    pod: str

    def fill(self, template: str) -> str:
        w = self.worker
        names = {"ns": w.namespace, "own": w.name, "other": self.other.name, "pod": self.pod}
        return template.format(**names, job=build_job_name(w.name, w.attempt))


@dataclass(frozen=True)
class Forgery:
    """One request. What is `harmless` may be answered with success, as the API server leaves out what is forbidden."""

    method: str
    path: str
    body: Callable[[Attacker], Any] = lambda _: None
    form: str = MERGE
    headers: Mapping[str, str] = field(default_factory=dict)
    harmless: bool = False

    def send(self, client: httpx.Client, attacker: Attacker) -> httpx.Response:
        """With the worker's token and nothing else."""
        headers = {
            "authorization": f"Bearer {attacker.worker.token}",
            "content-type": self.form if self.method == "PATCH" else "application/json",
            **{name: attacker.fill(value) for name, value in self.headers.items()},
        }
        body = self.body(attacker)
        return client.request(self.method, attacker.fill(self.path), headers=headers, json=body)


def own_status(status: Document) -> Forgery:
    """Hidden in an honest report."""
    return Forgery("PATCH", f"{OWN}/status", lambda a: {"status": {"progress": a.worker.progress()} | status})


def others_status(build: Callable[[Attacker], Document]) -> Forgery:
    return Forgery("PATCH", f"{OTHER}/status", lambda a: {"status": build(a)})


def own_part(build: Callable[[Worker], Document]) -> Forgery:
    return Forgery("PATCH", f"{OWN}/status", lambda a: {"status": build(a.worker)})


def own_main(change: Any, form: str = MERGE) -> Forgery:
    return Forgery("PATCH", OWN, lambda _: change, form)


def whole(name: str, status: Document) -> Document:
    source = {"bucket": "videos", "key": "a.mp4"}
    metadata = {"name": name}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"source": source}, "status": status}


def a_job(_: Attacker) -> Document:
    pod = {"restartPolicy": "Never", "containers": [{"name": "miner", "image": "miner"}]}
    return {"metadata": {"generateName": "miner-"}, "spec": {"suspend": True, "template": {"spec": pod}}}


AS_ADMIN = {"impersonate-user": "kubernetes-admin", "impersonate-group": "system:masters"}
AS_CONTROLLER = {"impersonate-user": "system:serviceaccount:{ns}:transcription-controller"}
AS_OTHER_POD = {
    "impersonate-user": "system:serviceaccount:{ns}:transcription-worker",
    "impersonate-extra-authentication.kubernetes.io%2fpod-name": "{other}-1-abcde",
}
END = {"state": "Succeeded"}

FORGERIES: dict[str, Forgery] = {
    "another's progress": others_status(lambda a: {"progress": a.worker.progress(percent=99)}),
    "another's progress as its pod": others_status(lambda a: {"progress": a.other.progress(percent=99)}),
    "another's result": others_status(lambda a: {"progress": a.worker.progress(), "result": a.other.result()}),
    "another's result that is one's own": others_status(
        lambda a: {"progress": a.worker.progress(), "result": a.worker.result()}
    ),
    "another's callback": others_status(lambda a: {"callback": a.other.callback()}),
    "another's end": others_status(lambda a: {"progress": a.worker.progress(), **END}),
    "another's status, applied": Forgery(
        "PATCH", f"{OTHER}/status?fieldManager=x&force=true", lambda a: whole(a.other.name, END), APPLY
    ),
    "another's status, by JSON patch": Forgery(
        "PATCH", f"{OTHER}/status", lambda _: [{"op": "add", "path": "/status", "value": END}], JSON_PATCH
    ),
    "another's status, put": Forgery("PUT", f"{OTHER}/status", lambda a: whole(a.other.name, END)),
    "another's spec": Forgery("PATCH", OTHER, lambda _: {"spec": {"cancel": True}}),
    "another, deleted": Forgery("DELETE", OTHER),
    "its spec": own_main({"spec": {"retries": 9}}),
    "its labels": own_main(LABELS),
    "its finalizers": own_main({"metadata": {"finalizers": [OUTPUTS_FINALIZER]}}),
    "its owner": own_main({"metadata": {"ownerReferences": []}}),
    "its spec, by JSON patch": own_main([{"op": "add", "path": "/spec/retries", "value": 9}], JSON_PATCH),
    "its spec, applied": Forgery(
        "PATCH", f"{OWN}?fieldManager=x&force=true", lambda a: whole(a.worker.name, {}), APPLY
    ),
    "its spec and labels through its status": Forgery(
        "PATCH",
        f"{OWN}/status",
        lambda a: LABELS | {"spec": {"cancel": True}, "status": {"progress": a.worker.progress()}},
        harmless=True,
    ),
    "its state": own_status(END),
    "its conditions": own_status({"conditions": [CONDITION]}),
    "its failure": own_status({"failure": {"reason": "NoAudio", "message": "No.", "retryable": False}}),
    "its attempt": own_status({"attempt": 9}),
    "its tries": own_status({"tries": 0}),
    "its replacements": own_status({"replacements": 1000}),
    "its nodes to avoid": own_status({"avoidNodes": ["a-rival"]}),
    "its retries": own_status({"retries": 9}),
    "its redeliveries": own_status({"redeliveries": 9}),
    "its start": own_status({"startTime": "2036-01-01T00:00:00Z"}),
    "its completion": own_status({"completionTime": "2026-01-01T00:00:00Z"}),
    "its generation": own_status({"observedGeneration": 99}),
    "its waiting reason": own_status({"waitingReason": "NoPlace"}),
    "its pod's name": own_status({"podName": "a-rival"}),
    "its Job": own_status({"jobRef": {"name": "a-rival"}}),
    "its Job, taken away": own_status({"jobRef": None}),
    "its settling": own_status({"settled": True}),
    "its state, as a trial": Forgery(
        "PATCH", f"{OWN}/status?dryRun=All", lambda a: {"status": {"progress": a.worker.progress()} | END}
    ),
    "its state, in the controller's name": Forgery(
        "PATCH", f"{OWN}/status?fieldManager=transcription-controller", lambda _: {"status": END}
    ),
    "its state, by JSON patch": Forgery(
        "PATCH", f"{OWN}/status", lambda _: [{"op": "replace", "path": "/status/state", "value": "Failed"}], JSON_PATCH
    ),
    "its conditions, by JSON patch": Forgery(
        "PATCH", f"{OWN}/status", lambda _: [{"op": "add", "path": "/status/conditions", "value": []}], JSON_PATCH
    ),
    "its progress, taken away by JSON patch": Forgery(
        "PATCH", f"{OWN}/status", lambda _: [{"op": "add", "path": "/status/progress", "value": None}], JSON_PATCH
    ),
    "its state, applied": Forgery(
        "PATCH", f"{OWN}/status?fieldManager=x&force=true", lambda a: whole(a.worker.name, END), APPLY
    ),
    "its status, put": Forgery("PUT", f"{OWN}/status", lambda a: whole(a.worker.name, END)),
    "its status, by strategic merge": Forgery("PATCH", f"{OWN}/status", lambda _: {"status": END}, STRATEGIC),
    "its progress as another pod": own_part(lambda w: {"progress": w.progress(percent=99) | {"podUID": "another"}}),
    "its progress in the next attempt": own_part(lambda w: {"progress": replace(w, attempt=w.attempt + 1).progress()}),
    "its progress in an attempt before": own_part(lambda w: {"progress": {**w.progress(), "attempt": w.attempt - 1}}),
    "the next attempt's result": own_part(
        lambda w: {"progress": w.progress(), "result": replace(w, attempt=w.attempt + 1).result()}
    ),
    "a result in another's folder": own_part(
        lambda w: {"progress": w.progress(), "result": replace(w, uid="another").result()}
    ),
    "a result in another namespace": own_part(
        lambda w: {"progress": w.progress(), "result": replace(w, namespace="another").result()}
    ),
    "a callback without a result": own_part(lambda w: {"progress": w.progress(), "callback": w.callback()}),
    "a callback under another's id": own_part(
        lambda w: {"progress": w.progress(), "result": w.result(), "callback": replace(w, uid="another").callback()}
    ),
    "all of them, read": Forgery("GET", HOME),
    "all of them, watched": Forgery("GET", f"{HOME}?watch=true"),
    "all of them, deleted": Forgery("DELETE", HOME),
    "itself, read": Forgery("GET", OWN),
    "itself, deleted": Forgery("DELETE", OWN),
    "itself, put": Forgery("PUT", OWN, lambda a: whole(a.worker.name, {})),
    "a new one": Forgery("POST", HOME, lambda _: whole("forged", {})),
    "one of another namespace": Forgery(
        "PATCH", OWN.replace("{ns}", "default") + "/status", lambda a: {"status": {"progress": a.worker.progress()}}
    ),
    "a Job": Forgery("POST", BATCH, a_job),
    "its Job, deleted": Forgery("DELETE", f"{BATCH}/{{job}}"),
    "its Job, suspended": Forgery("PATCH", f"{BATCH}/{{job}}", lambda _: {"spec": {"suspend": True}}),
    "the pods": Forgery("GET", f"{CORE}/pods"),
    "its pod, deleted": Forgery("DELETE", f"{CORE}/pods/{{pod}}"),
    "its pod's status": Forgery("PATCH", f"{CORE}/pods/{{pod}}/status", lambda _: {"status": {"phase": "Succeeded"}}),
    "its pod, entered": Forgery("POST", f"{CORE}/pods/{{pod}}/exec?command=sh"),
    "the Secrets": Forgery("GET", f"{CORE}/secrets"),
    "a Secret": Forgery("GET", f"{CORE}/secrets/s3-worker"),
    "a token of the controller": Forgery(
        "POST", f"{CORE}/serviceaccounts/transcription-controller/token", lambda _: {"spec": {}}
    ),
    "an Event": Forgery("POST", f"{CORE}/events", lambda _: {"metadata": {"name": "x"}, "involvedObject": {}}),
    "the leader's Lease": Forgery("GET", "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"),
    "a right": Forgery(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
        lambda _: {"metadata": {"name": "x"}, "roleRef": {"kind": "Role", "name": "x"}},
    ),
    "the policy": Forgery(
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{ns}.transcription.worker",
    ),
    "the definition": Forgery(
        "PATCH",
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}",
        lambda _: {"metadata": {"labels": {"a": "b"}}},
    ),
    "as an administrator": Forgery("PATCH", f"{OTHER}/status", lambda _: {"status": END}, headers=AS_ADMIN),
    "as the controller": Forgery("PATCH", f"{OTHER}/status", lambda _: {"status": END}, headers=AS_CONTROLLER),
    "as another pod": Forgery(
        "PATCH", f"{OTHER}/status", lambda a: {"status": {"progress": a.other.progress()}}, headers=AS_OTHER_POD
    ),
}


def protect(manifest: Document | None) -> Document | None:
    """All of a resource that its worker may not change; its bookkeeping left out."""
    if manifest is None:
        return None
    kept = ("name", "uid", "labels", "annotations", "finalizers", "ownerReferences", "generation", "deletionTimestamp")
    metadata = {key: value for key, value in manifest["metadata"].items() if key in kept}
    status = {key: value for key, value in manifest.get("status", {}).items() if key != "progress"}
    return {"metadata": metadata, "spec": manifest["spec"], "status": status}
