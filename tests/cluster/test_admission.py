"""What a worker's own token may write, tried on the real API server.

The chart's worker objects stand in a namespace of their own here, where no controller looks.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.helm import RELEASE, open_applied
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for
from tests.support.worker_writes import Worker, WorkerDoor, build_client

TEMPLATES = ("worker/serviceaccount", "worker/role", "worker/admission")
Part = Callable[[Worker], dict[str, Any]]
Before = Callable[[Worker], dict[str, Any]]

CONDITION = {"type": "Running", "status": "True", "reason": "PodReady", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def a_running(_worker: Worker) -> dict[str, Any]:
    return {"state": "Running", "attempt": 1, "message": "Running.", "conditions": [CONDITION]}


def a_reporting(worker: Worker) -> dict[str, Any]:
    return a_running(worker) | {"progress": worker.progress(percent=30, stage="Transcribing", processedSeconds=30)}


def a_saved(worker: Worker) -> dict[str, Any]:
    return a_reporting(worker) | {"result": worker.result(), "callback": worker.callback()}


def a_delivered(worker: Worker) -> dict[str, Any]:
    return a_saved(worker) | {"callback": worker.callback("Delivered", attempts=1, lastStatusCode=200)}


def a_planned(worker: Worker) -> dict[str, Any]:
    return a_saved(worker) | {"callback": worker.callback(nextAttemptTime="2026-01-01T00:00:05Z")}


def a_failed_callback(worker: Worker) -> dict[str, Any]:
    return a_saved(worker) | {"callback": worker.callback("Failed", attempts=10)}


def an_ended(state: str) -> Before:
    return lambda worker: a_reporting(worker) | {"state": state}


def an_untouched(_worker: Worker) -> dict[str, Any]:
    return {"state": "Queued", "message": "Waiting."}


ADMITTED: dict[str, tuple[Before, Part]] = {
    "the first report": (a_running, lambda w: {"progress": w.progress(stage="Starting")}),
    "a later report": (a_reporting, lambda w: {"progress": w.progress(percent=40, processedSeconds=40.5)}),
    "a report that takes a field away": (a_reporting, lambda w: {"progress": w.progress(etaSeconds=None, stage=None)}),
    "a pod that replaces another": (
        lambda w: a_reporting(w) | {"progress": replace(w, pod_uid="gone").progress(percent=30)},
        lambda w: {"progress": w.progress(stage="Starting")},
    ),
    "the result alone": (a_reporting, lambda w: {"result": w.result()}),
    "the result and its callback row": (
        a_reporting,
        lambda w: {"progress": w.progress(percent=100), "result": w.result(), "callback": w.callback()},
    ),
    "the same result again": (a_saved, lambda w: {"result": w.result(), "callback": w.callback()}),
    "a callback that was delivered": (
        a_saved,
        lambda w: {"callback": w.callback("Delivered", attempts=1, lastStatusCode=200)},
    ),
    "a callback that was not": (a_saved, lambda w: {"callback": w.callback(attempts=1, lastStatusCode=503)}),
}

REFUSED: dict[str, tuple[Before, Part]] = {
    "another pod's UID": (a_reporting, lambda w: {"progress": w.progress() | {"podUID": "another"}}),
    "a later attempt": (a_reporting, lambda w: {"progress": w.progress(percent=1) | {"attempt": 2}}),
    "a result over another pod's progress": (
        lambda w: a_reporting(w) | {"progress": replace(w, pod_uid="gone").progress()},
        lambda w: {"result": w.result()},
    ),
    "a result without progress": (a_running, lambda w: {"result": w.result()}),
    "no progress any more": (
        lambda w: a_running(w) | {"progress": w.progress()},
        lambda _: {"progress": None},
    ),
    "the state": (a_reporting, lambda _: {"state": "Succeeded"}),
    "the message": (a_reporting, lambda _: {"message": "All is well."}),
    "no message": (a_reporting, lambda _: {"message": None}),
    "the attempt": (a_reporting, lambda _: {"attempt": 2}),
    "a condition": (a_reporting, lambda _: {"conditions": [CONDITION | {"type": "Finished"}]}),
    "no conditions": (a_reporting, lambda _: {"conditions": None}),
    "a failure": (a_reporting, lambda _: {"failure": {"reason": "NoAudio", "message": "No.", "retryable": False}}),
    "the Job": (a_reporting, lambda _: {"jobRef": {"name": "another"}}),
    "settled": (a_reporting, lambda _: {"settled": True}),
    "the state hidden in a good report": (
        a_reporting,
        lambda w: {"progress": w.progress(percent=50), "state": "Succeeded"},
    ),
    "another transcription's result": (
        a_reporting,
        lambda w: {"result": w.result() | {"key": replace(w, name="another", uid="another").result()["key"]}},
    ),
    "an earlier attempt's result": (
        a_reporting,
        lambda w: {"result": w.result() | {"key": replace(w, attempt=0).result()["key"]}},
    ),
    "a way out of its folder": (
        a_reporting,
        lambda w: {"result": w.result() | {"key": w.result()["key"].replace("transcript.json", "../transcript.json")}},
    ),
    "a callback before the result": (a_reporting, lambda w: {"callback": w.callback()}),
    "a callback that was delivered at once": (
        a_reporting,
        lambda w: {"result": w.result(), "callback": w.callback("Delivered")},
    ),
    "another callback's id": (a_saved, lambda w: {"callback": replace(w, uid="another").callback()}),
    "another attempt's callback": (a_saved, lambda w: {"callback": replace(w, attempt=2).callback()}),
    "a callback given up": (a_saved, lambda w: {"callback": w.callback("Failed")}),
    "a delivered callback once more": (a_delivered, lambda w: {"callback": w.callback()}),
    "a callback that was given up": (a_failed_callback, lambda w: {"callback": w.callback("Delivered")}),
    "no callback any more": (a_saved, lambda _: {"callback": None}),
    "the time of the next try": (a_planned, lambda _: {"callback": {"nextAttemptTime": "2036-01-01T00:00:00Z"}}),
    "no next try": (a_planned, lambda _: {"callback": {"nextAttemptTime": None}}),
    "a transcription without an attempt": (an_untouched, lambda w: {"progress": w.progress()}),
    "one that succeeded": (an_ended("Succeeded"), lambda w: {"progress": w.progress(percent=99)}),
    "one that failed": (an_ended("Failed"), lambda w: {"result": w.result()}),
    "one that was cancelled": (an_ended("Cancelled"), lambda w: {"progress": w.progress(percent=99)}),
}

REFUSED_BY_SCHEMA: dict[str, tuple[Before, Part]] = {
    "less progress": (a_reporting, lambda w: {"progress": w.progress(percent=29)}),
    "no percent any more": (a_reporting, lambda w: {"progress": w.progress(percent=None)}),
    "another result": (a_saved, lambda w: {"result": w.result(bytes=11)}),
    "no result any more": (a_saved, lambda _: {"result": None}),
}

IMPOSTORS = {
    "another transcription": "another-1-abcde",
    "a transcription whose name goes on": "{name}-b-1-abcde",
    "a transcription named like this one's Job": "{name}-1-1-abcde",
    "a transcription whose name ends alike": "x-{name}-1-abcde",
    "the next attempt": "{name}-2-abcde",
    "attempt eleven": "{name}-11-abcde",
    "a shorter suffix": "{name}-1-abcd",
    "a longer suffix": "{name}-1-abcdef",
    "a dot in the suffix": "{name}-1-ab.de",
    "the Job's name": "{name}-1",
}


@pytest.fixture(scope="module")
def door(kubectl: Kubectl) -> Iterator[WorkerDoor]:
    """The chart's worker account, role and policy in a fresh namespace, once the policy is in force."""
    with open_applied(kubectl, "admission", TEMPLATES) as here, build_client(kubectl) as client:
        made = WorkerDoor(client, here, f"{RELEASE}-worker")
        probe = made.a_worker("probe")
        made.set_status("probe", a_running(probe))
        wait_for(lambda: made.report(probe, {"message": "?"}).status_code == 403, 30, "the policy is in force")
        yield made


@pytest.fixture(scope="module")
def stage(door: WorkerDoor) -> Callable[[Before], Worker]:
    """A transcription in some state and its worker; one of each kind, for writes that change nothing."""
    made: dict[Before, Worker] = {}

    def get(before: Before) -> Worker:
        if before not in made:
            made[before] = _put_on_stage(door, before)
        return made[before]

    return get


def _put_on_stage(door: WorkerDoor, before: Before) -> Worker:
    worker = door.a_worker(f"case-{secrets.token_hex(4)}")
    door.set_status(worker.name, before(worker))
    return worker


def assert_refused(answer: httpx.Response) -> None:
    """By the policy, not by something else on the way."""
    assert answer.status_code == 403, answer.text
    assert "ValidatingAdmissionPolicy" in answer.json()["message"]


@pytest.mark.parametrize("case", ADMITTED)
def test_a_worker_may_write(door: WorkerDoor, case: str) -> None:
    before, part = ADMITTED[case]
    worker = _put_on_stage(door, before)
    change = part(worker)
    answer = door.report(worker, change)
    assert answer.status_code == 200, answer.text
    status = answer.json()["status"]
    for key, fields in change.items():
        assert {name: status[key].get(name) for name in fields} == fields


@pytest.mark.parametrize("case", REFUSED)
def test_a_worker_may_not_write(door: WorkerDoor, stage: Callable[[Before], Worker], case: str) -> None:
    before, part = REFUSED[case]
    worker = stage(before)
    assert_refused(door.report(worker, part(worker)))


@pytest.mark.parametrize("case", REFUSED_BY_SCHEMA)
def test_the_resource_itself_refuses(door: WorkerDoor, stage: Callable[[Before], Worker], case: str) -> None:
    before, part = REFUSED_BY_SCHEMA[case]
    worker = stage(before)
    answer = door.report(worker, part(worker))
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("impostor", IMPOSTORS)
def test_a_pod_may_not_write_when_it_is_that_of(door: WorkerDoor, impostor: str) -> None:
    name = f"own-{secrets.token_hex(4)}"
    worker = door.a_worker(name, pod=IMPOSTORS[impostor].format(name=name))
    door.set_status(name, a_running(worker))
    assert_refused(door.report(worker, {"progress": worker.progress()}))


def test_a_worker_of_an_earlier_attempt_may_not_write(door: WorkerDoor) -> None:
    first = door.a_worker("retried")
    door.set_status("retried", a_reporting(first) | {"attempt": 2})
    assert_refused(door.report(first, {"progress": first.progress(percent=50)}))
    assert_refused(door.report(first, {"progress": replace(first, attempt=2).progress()}))


def test_a_worker_of_the_next_attempt_starts_from_nothing(door: WorkerDoor) -> None:
    first = door.a_worker("again")
    door.set_status("again", a_reporting(first) | {"attempt": 2})
    transcription = door.kubectl.get("transcriptionjobs", "again")
    assert transcription is not None
    second = door.a_pod_of(transcription, 2, "again-2-abcde")
    answer = door.report(second, {"progress": second.progress(percent=0)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"]["progress"]["percent"] == 0


def test_a_worker_may_not_write_another_transcription(door: WorkerDoor, stage: Callable[[Before], Worker]) -> None:
    own, other = stage(a_reporting), stage(a_running)
    assert_refused(door.patch(own.token, other.name, {"status": {"progress": own.progress()}}))
    assert_refused(door.patch(own.token, other.name, {"status": {"progress": other.progress()}}))


def test_a_token_without_a_pod_may_not_write(door: WorkerDoor, stage: Callable[[Before], Worker]) -> None:
    worker = stage(a_reporting)
    token = door.kubectl.run("create", "token", door.account).strip()
    assert_refused(door.patch(token, worker.name, {"status": {"progress": worker.progress()}}))


def test_a_token_dies_with_its_pod(door: WorkerDoor) -> None:
    worker = door.a_worker("dead")
    door.set_status("dead", a_running(worker))
    door.kubectl.delete("pod", "dead-1-abcde", force=True)
    assert door.report(worker, {"progress": worker.progress()}).status_code == 401


def test_a_status_patch_changes_no_spec_and_no_label(door: WorkerDoor) -> None:
    worker = door.a_worker("quiet")
    door.set_status("quiet", a_running(worker))
    change = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["a.b/c"]},
        "spec": {"cancel": True},
        "status": {"progress": worker.progress()},
    }
    answer = door.patch(worker.token, "quiet", change).json()
    assert answer["spec"]["cancel"] is False
    assert not {"labels", "annotations", "finalizers"} & set(answer["metadata"])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/{name}"), ("GET", ""), ("GET", "/{name}/status"), ("DELETE", "/{name}")]
)
def test_a_worker_may_not_read_or_delete(
    door: WorkerDoor, stage: Callable[[Before], Worker], method: str, path: str
) -> None:
    worker = stage(a_reporting)
    assert door.call(method, worker.token, path.format(name=worker.name)).status_code == 403


def test_a_worker_may_not_patch_the_resource_itself(door: WorkerDoor, stage: Callable[[Before], Worker]) -> None:
    worker = stage(a_reporting)
    assert door.patch(worker.token, worker.name, {"spec": {"cancel": True}}, subresource="").status_code == 403


def test_a_worker_has_no_rights_in_another_namespace(
    door: WorkerDoor, kubectl: Kubectl, stage: Callable[[Before], Worker]
) -> None:
    worker = stage(a_reporting)
    elsewhere = replace(door, kubectl=kubectl)
    answer = elsewhere.patch(worker.token, worker.name, {"status": {"progress": worker.progress()}})
    assert answer.status_code == 403, answer.text


def test_the_installed_release_has_the_policy_in_force(kubectl: Kubectl) -> None:
    binding = kubectl.get("validatingadmissionpolicybinding", "transcription.transcription.worker")
    assert binding is not None, "the release has no admission policy: run make up"
    assert binding["spec"]["validationActions"] == ["Deny"]
    selector = binding["spec"]["matchResources"]["namespaceSelector"]
    assert selector["matchLabels"] == {"kubernetes.io/metadata.name": "transcription"}
