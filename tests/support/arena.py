"""A namespace with a controller of its own, and a node whose pods do what a test says."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx

from crds.reasons import Reason
from crds.transcriptionjob import API_VERSION, KIND, PLURAL, ConditionType, Result, State, Status, Transcription
from crds.worker import Fault, Outcome, build_job_name, build_result_prefix
from tests.support.admin import Admin, connect
from tests.support.helm import RELEASE, open_applied
from tests.support.kubectl import Kubectl, Manifest
from tests.support.local_controller import LocalController, write_kubeconfig
from tests.support.simulated_node import PLACEMENT, SimulatedNode
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for
from tests.support.worker_writes import Worker, WorkerDoor, build_client

TEMPLATES = (
    "controller/serviceaccount",
    "controller/role",
    "worker/serviceaccount",
    "worker/role",
    "worker/admission",
    "api/priorityclasses",
)
SOURCE = {"bucket": "transcriptions", "key": "videos/anonymous/none.mp4"}
SOON = 20


@dataclass(frozen=True)
class Arena:
    """What a test has in its hands."""

    admin: Admin
    kubectl: Kubectl
    node: SimulatedNode
    controller: LocalController
    door: WorkerDoor

    @property
    def namespace(self) -> str:
        return self.admin.namespace

    def ask(self, purpose: str = "", name: str = "", **spec: Any) -> str:
        """Make a transcription; its name."""
        manifest = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name or an_id(purpose)},
            "spec": {"source": SOURCE, **spec},
        }
        return str(self.admin.create(PLURAL, manifest)["metadata"]["name"])

    def change(self, name: str, **spec: Any) -> None:
        self.admin.patch(PLURAL, name, {"spec": spec})

    def retry(self, name: str) -> None:
        """Ask for another attempt at a failed one, as the API does."""
        labels = {"transcription.ecg.dev/settled": None}
        retries = self.read(name).spec.retries + 1
        self.admin.patch(PLURAL, name, {"metadata": {"labels": labels}, "spec": {"retries": retries}})

    def turn_back(self, name: str, seconds: int = 7200, *conditions: ConditionType) -> None:
        """Make it seem that these conditions, or all, and the start came about so long ago."""
        status = self.read(name).status
        by = timedelta(seconds=seconds)
        aged = tuple(
            c.model_copy(update={"last_transition_time": c.last_transition_time - by})
            if not conditions or c.type in conditions
            else c
            for c in status.conditions
        )
        start = status.start_time - by if status.start_time and not conditions else status.start_time
        self.set_status(name, **status.model_copy(update={"conditions": aged, "start_time": start}).to_manifest())

    def set_status(self, name: str, **status: Any) -> None:
        """As somebody with all rights does."""
        self.admin.patch(PLURAL, f"{name}/status", {"status": status})

    def read(self, name: str) -> Transcription:
        found = self.admin.get(PLURAL, name)
        assert found is not None, f"there is no {name}"
        return Transcription.parse(found)

    def until(self, name: str, is_so: Callable[[Status], object], what: str, seconds: float = SOON) -> Status:
        """The first status seen that fits."""

        def look() -> Status | None:
            nonlocal status
            status = self.read(name).status
            return status if is_so(status) else None

        status = Status()
        try:
            return wait_for(look, seconds, what, 0.1)
        except AssertionError as error:
            error.add_note(f"{name}: {status!r}")
            raise

    def until_state(self, name: str, state: State, seconds: float = SOON) -> Status:
        return self.until(name, lambda status: status.state is state, f"{name} is {state}", seconds)

    def until_attempt(self, name: str, attempt: int, seconds: float = SOON) -> Status:
        return self.until(name, lambda s: s.attempt == attempt, f"{name} is at attempt {attempt}", seconds)

    def until_settled(self, name: str, seconds: float = SOON) -> Status:
        return self.until(name, lambda status: status.settled, f"{name} is settled", seconds)

    def until_gone(self, plural: str, name: str, seconds: float = SOON) -> None:
        wait_for(lambda: self.admin.get(plural, name) is None, seconds, f"{plural}/{name} is gone", 0.1)

    def job(self, name: str, attempt: int = 1) -> Manifest | None:
        return self.admin.get("jobs", build_job_name(name, attempt))

    def wait_for_job(self, name: str, attempt: int = 1) -> Manifest:
        return wait_for(lambda: self.job(name, attempt), SOON, f"the Job of attempt {attempt} of {name}", 0.1)

    def jobs_of(self, name: str) -> list[str]:
        """Names of its Jobs that are there and are not on their way out."""
        found = self.admin.list("jobs", f"transcription.ecg.dev/name={name}")
        return [job["metadata"]["name"] for job in found if "deletionTimestamp" not in job["metadata"]]

    def pods(self, name: str, attempt: int = 1) -> list[Manifest]:
        """The pods of an attempt, the oldest first."""
        found = self.admin.list("pods", f"batch.kubernetes.io/job-name={build_job_name(name, attempt)}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def wait_for_pod(self, name: str, attempt: int = 1, but: Manifest | None = None, seconds: float = SOON) -> Manifest:
        """A pod of the attempt that has a node and has not ended; another one than that of before."""
        before = but["metadata"]["name"] if but else None

        def look() -> Manifest | None:
            return next((p for p in self.pods(name, attempt) if _is_fresh(p) and p["metadata"]["name"] != before), None)

        return wait_for(look, seconds, f"a pod of attempt {attempt} of {name}", 0.1)

    def until_deleting(self, pod: Manifest, seconds: float = SOON) -> None:
        """It was told to end, or is gone."""

        def look() -> bool:
            found = self.admin.get("pods", pod["metadata"]["name"])
            return found is None or "deletionTimestamp" in found["metadata"]

        wait_for(look, seconds, f"pod {pod['metadata']['name']} is told to end", 0.1)

    def run(self, name: str, attempt: int = 1, but: Manifest | None = None, seconds: float = SOON) -> Manifest:
        """Let its worker start, and wait until the status says so."""
        pod = self.wait_for_pod(name, attempt, but, seconds)
        self.node.start(pod)
        self.until(name, lambda s: s.pod_name == pod["metadata"]["name"], f"{name} runs in that pod")
        return pod

    def finish(self, name: str, pod: Manifest) -> Status:
        """Let its worker end well, and wait until that is the end."""
        self.node.end(pod, 0, self.build_message(name))
        return self.until_state(name, State.SUCCEEDED)

    def build_result(self, name: str) -> Result:
        t = self.read(name)
        key = build_result_prefix(t.namespace, t.name, t.uid, t.status.attempt) + "transcript.json"
        return Result(key=key, sha256="a" * 64, bytes=10, formats=("json",))

    def build_message(self, name: str) -> str:
        """The last words of a worker that has stored its result."""
        return Outcome(result=self.build_result(name)).model_dump_json(by_alias=True, exclude_none=True)

    def a_worker_in(self, name: str, pod: Manifest) -> Worker:
        """Whoever works in that pod, with a token bound to it."""
        transcription = self.admin.get(PLURAL, name)
        assert transcription is not None
        return self.door.a_worker_in(transcription, int(transcription["status"]["attempt"]), pod)

    def events(self, name: str, reason: str = "") -> list[Manifest]:
        """Our Events about it, in the order of their time; those of one reason, when it is named."""
        regarding = {"kind": KIND, "name": name}
        found = [event for event in self.admin.list("events") if regarding.items() <= event["regarding"].items()]
        ours = [event for event in found if reason in ("", event["reason"])]
        return sorted(ours, key=lambda event: str(event["eventTime"]))

    def reasons(self, name: str) -> list[str]:
        return [event["reason"] for event in self.events(name)]


OpenArena = Callable[..., AbstractContextManager[Arena]]
"""Opens another arena: additions to the worker's pod, settings of the controller in lower case, is_up."""


def build_fault(reason: Reason, message: str) -> str:
    """The last words of a worker that knows why it failed."""
    return Outcome(failure=Fault(reason=reason, message=message)).model_dump_json(by_alias=True, exclude_none=True)


def truth(status: Status, type_: ConditionType) -> str | None:
    """What a condition says; None when it is not there."""
    condition = status.condition(type_)
    return condition.status if condition else None


@contextmanager
def open_arena(kubectl: Kubectl, node: SimulatedNode, build: Callable[[Kubectl], LocalController]) -> Iterator[Arena]:
    """The chart's accounts, rights and admission policy in a fresh namespace, and a controller for it."""
    with (
        open_applied(kubectl, "arena", TEMPLATES) as here,
        connect(kubectl) as client,
        build_client(kubectl) as nobody,
        build(here) as controller,
    ):
        door = WorkerDoor(nobody, here, f"{RELEASE}-worker")
        yield Arena(Admin(client, here.namespace), here, node, controller, door)
        controller.kill()
        clear(Admin(client, here.namespace))


def build_controller(folder: Path, env: Mapping[str, str], pod: Mapping[str, Any], here: Kubectl) -> LocalController:
    """Not started yet."""
    kubeconfig = write_kubeconfig(here, f"{RELEASE}-controller", folder / "kubeconfig")
    return LocalController(folder, kubeconfig, build_settings(here.namespace, {**PLACEMENT, **pod}) | env)


def build_settings(namespace: str, pod: Mapping[str, Any]) -> dict[str, str]:
    return {
        "CONTROLLER_NAMESPACE": namespace,
        "CONTROLLER_S3_BUCKET": SOURCE["bucket"],
        "CONTROLLER_WORKER_IMAGE": "simulated",
        "CONTROLLER_WORKER_SERVICE_ACCOUNT": f"{RELEASE}-worker",
        "CONTROLLER_WORKER_POD": json.dumps(pod),
        "CONTROLLER_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
        "CONTROLLER_CALLBACK_RETRY_SCHEDULE": "0.1,0.1",
        "CONTROLLER_INSTANCE": "local",
    }


def clear(admin: Admin) -> None:
    """Nobody else ends pods here, and a namespace with pods never goes."""
    for transcription in admin.list(PLURAL):
        admin.patch(PLURAL, transcription["metadata"]["name"], {"metadata": {"finalizers": None}})
    for plural in (PLURAL, "jobs", "pods"):
        answer = admin.call("DELETE", admin.path(plural), {"propagationPolicy": "Background", "gracePeriodSeconds": 0})
        assert answer.status_code in (200, 404), answer.text


def refuse(answer: httpx.Response) -> str:
    """What a request was refused with; fails when it was not."""
    assert answer.is_client_error, f"{answer.status_code} {answer.text}"
    return str(answer.json()["message"])


def _is_fresh(pod: Manifest) -> bool:
    is_over = pod["status"].get("phase") in {"Succeeded", "Failed"} or "deletionTimestamp" in pod["metadata"]
    return "nodeName" in pod["spec"] and not is_over
