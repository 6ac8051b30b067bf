import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import pytest
from kubernetes.aio import client

from controller.apiserver import ApiServer
from controller.cluster import Cluster
from controller.errors import (
    MissingError,
    NameTakenError,
    QuotaError,
    RefusedError,
    StaleError,
    TransientError,
)
from controller.job_builder import build_job
from crds.transcriptionjob import OUTPUTS_FINALIZER
from tests.support.controller_fakes import RESULT, UID, a_job, a_manifest, a_transcription, some_settings
from tests.support.loopback import Answer, Loopback

MANIFEST = build_job(a_transcription(), 1, some_settings())


def a_job_manifest(owner_uid: str = UID, owner_name: str = "clip", **meta: Any) -> dict[str, Any]:
    owner = {"uid": owner_uid, "name": owner_name, "controller": True}
    base = {"name": "clip-1", "namespace": "ns", "uid": "job-uid", "resourceVersion": "7", "ownerReferences": [owner]}
    return {"metadata": base | {"creationTimestamp": "2026-01-02T03:04:05Z"} | meta, "spec": {}}


def call(do: Callable[[Cluster], Awaitable[Any]], *answers: Answer) -> tuple[Any, Loopback, list[tuple[str, str, int]]]:
    async def scene() -> tuple[Any, Loopback, list[tuple[str, str, int]]]:
        async with Loopback(*answers) as server:
            counted: list[tuple[str, str, int]] = []
            configuration = client.Configuration()
            configuration.host = server.url
            door = ApiServer(client.ApiClient(configuration), lambda *facts: counted.append(facts), lambda: True)
            try:
                return await do(Cluster(door, "ns")), server, counted
            finally:
                await door.close()

    return asyncio.run(scene())


def test_status_is_merged_only_into_the_version_that_was_read() -> None:
    patch = {"state": "Pending"}
    new, server, counted = call(lambda c: c.patch_status(a_transcription(), patch), Answer.of(a_manifest(attempt=1)))
    request = server.requests[0]
    path = "/apis/transcription.ecg.dev/v1alpha1/namespaces/ns/transcriptionjobs/clip/status"
    assert (request.verb, request.path) == ("PATCH", f"{path}?fieldManager=transcription-controller")
    assert request.headers["content-type"] == "application/merge-patch+json"
    assert request.json == {"metadata": {"resourceVersion": "100"}, "status": patch}
    assert new.status.attempt == 1
    assert counted == [("PATCH", "transcriptionjobs/status", 200)]


def test_nothing_is_written_when_another_one_leads() -> None:
    async def write_all(cluster: Cluster) -> int:
        cluster._server._may_write = lambda: False
        job, transcription = a_job(), a_transcription()
        held = transcription.model_copy(update={"finalizers": (OUTPUTS_FINALIZER,)})
        writes = [
            cluster.patch_status(transcription, {}), cluster.settle(transcription), cluster.unsettle(transcription),
            cluster.hold_outputs(transcription), cluster.release_outputs(held),
            cluster.delete_transcription(transcription),
            cluster.create_job(MANIFEST), cluster.delete_job(job),
        ]  # fmt: skip
        ends = await asyncio.gather(*writes, return_exceptions=True)
        return sum("another controller leads" in str(end) for end in ends)

    refused, server, _ = call(write_all)
    assert (refused, server.requests) == (8, [])


def test_label_is_put_on_when_it_is_settled() -> None:
    _, server, counted = call(lambda c: c.settle(a_transcription()), Answer.of(a_manifest()))
    labels = {"transcription.ecg.dev/settled": "true"}
    assert server.requests[0].json == {"metadata": {"resourceVersion": "100", "labels": labels}}
    assert counted == [("PATCH", "transcriptionjobs", 200)]


def test_label_is_taken_off_when_there_is_work_again() -> None:
    _, server, _ = call(lambda c: c.unsettle(a_transcription()), Answer.of(a_manifest()))
    labels = {"transcription.ecg.dev/settled": None}
    assert server.requests[0].json == {"metadata": {"resourceVersion": "100", "labels": labels}}


def test_job_is_ours_when_it_exists_already_with_our_owner() -> None:
    job, server, _ = call(lambda c: c.create_job(MANIFEST), Answer(409), Answer.of(a_job_manifest()))
    assert job.uid == "job-uid"
    assert [request.verb for request in server.requests] == ["POST", "GET"]


def test_name_is_taken_when_the_job_is_somebody_elses() -> None:
    with pytest.raises(NameTakenError):
        call(lambda c: c.create_job(MANIFEST), Answer(409), Answer.of(a_job_manifest("other", "other")))


@pytest.mark.parametrize(
    "there", [a_job_manifest("old-uid"), a_job_manifest("x", "x", deletionTimestamp="2026-01-02T03:04:05Z")]
)
def test_creation_waits_when_the_job_of_a_deleted_one_is_still_there(there: dict[str, Any]) -> None:
    with pytest.raises(TransientError):
        call(lambda c: c.create_job(MANIFEST), Answer(409), Answer.of(there))


def test_creation_waits_when_the_job_that_had_the_name_has_just_gone() -> None:
    with pytest.raises(TransientError):
        call(lambda c: c.create_job(MANIFEST), Answer(409), Answer(404))


def test_this_very_job_is_deleted_with_its_pods() -> None:
    _, server, _ = call(lambda c: c.delete_job(a_job()), Answer(200))
    assert server.requests[0].verb == "DELETE"
    wanted = {"uid": "job-uid", "resourceVersion": "1"}
    assert server.requests[0].json == {"propagationPolicy": "Background", "preconditions": wanted}


def test_nothing_happens_when_the_job_is_gone() -> None:
    assert call(lambda c: c.delete_job(a_job()), Answer(404))[0] is None


def test_job_is_stale_when_it_has_changed_since_it_was_read() -> None:
    with pytest.raises(StaleError):
        call(lambda c: c.delete_job(a_job()), Answer(409))


def test_live_ones_are_listed_page_by_page() -> None:
    async def names(cluster: Cluster) -> list[str]:
        return [transcription.name async for transcription in cluster.list_live()]

    pages = [
        Answer.of({"items": [a_manifest("a")], "metadata": {"continue": "more/1"}}),
        Answer.of({"items": [a_manifest("b")], "metadata": {}}),
    ]
    found, server, _ = call(names, *pages)
    assert found == ["a", "b"]
    assert "labelSelector=!transcription.ecg.dev/settled&limit=500" in unquote(server.requests[0].path)
    assert unquote(server.requests[1].path).endswith("&continue=more/1")


def test_one_that_cannot_be_read_is_left_out_of_the_list(caplog: pytest.LogCaptureFixture) -> None:
    async def names(cluster: Cluster) -> list[str]:
        return [transcription.name async for transcription in cluster.list_live()]

    broken = a_manifest("broken") | {"spec": {}}
    found, _, _ = call(names, Answer.of({"items": [broken, a_manifest("b")], "metadata": {}}))
    assert found == ["b"]
    assert [record.__dict__["transcription"] for record in caplog.records] == ["ns/broken"]


def test_settled_ones_are_listed_when_they_are_wanted() -> None:
    async def names(cluster: Cluster) -> list[str]:
        wanted = cluster.list_settled(lambda manifest: manifest["metadata"]["name"] == "asked")
        return [transcription.name async for transcription in wanted]

    quiet, asked = a_manifest("quiet"), a_manifest("asked")
    pages = [
        Answer.of({"items": [quiet], "metadata": {"continue": "more"}}),
        Answer.of({"items": [asked], "metadata": {}}),
    ]
    found, server, _ = call(names, *pages)
    assert found == ["asked"]
    assert "labelSelector=transcription.ecg.dev/settled&limit=500" in unquote(server.requests[0].path)


def test_pods_are_listed_by_the_uid_of_their_job() -> None:
    state = {"terminated": {"exitCode": 65, "reason": "Error", "message": "{}", "finishedAt": "2026-01-02T03:04:09Z"}}
    pod = {
        "metadata": {"name": "clip-1-abcde", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"nodeName": "node-a"},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "worker", "state": state}]},
    }
    pods, server, _ = call(lambda c: c.list_pods(a_job()), Answer.of({"items": [pod], "metadata": {}}))
    assert "labelSelector=batch.kubernetes.io/controller-uid=job-uid" in unquote(server.requests[0].path)
    assert pods[0].node == "node-a"
    assert (pods[0].phase, pods[0].exit_code, pods[0].termination_message) == ("Failed", 65, "{}")


def test_all_pods_are_listed_page_by_page_and_sorted_by_job() -> None:
    def page(name: str, job: str, more: str) -> Answer:
        labels = {"batch.kubernetes.io/controller-uid": job}
        meta = {"name": name, "creationTimestamp": "2026-01-02T03:04:05Z", "labels": labels}
        return Answer.of({"items": [{"metadata": meta, "spec": {}}], "metadata": {"continue": more}})

    pages = [page("a-1-x", "job-a", "more"), page("b-1-x", "job-b", "more"), page("a-1-y", "job-a", "")]
    found, server, _ = call(lambda c: c.list_pods_by_job(), *pages)
    assert {uid: [pod.name for pod in pods] for uid, pods in found.items()} == {
        "job-a": ["a-1-x", "a-1-y"],
        "job-b": ["b-1-x"],
    }
    assert "labelSelector=app.kubernetes.io/managed-by=" in unquote(server.requests[0].path)


ERRORS = [
    (404, "", MissingError),
    (409, "", StaleError),
    (401, "", TransientError),
    (429, "", TransientError),
    (500, "", TransientError),
    (504, "", TransientError),
    (403, 'jobs.batch is forbidden: User "x" cannot create resource "jobs"', TransientError),
    (403, "exceeded quota: compute", QuotaError),
    (403, "denied by a policy", RefusedError),
    (422, "spec.template: Invalid value", RefusedError),
    (400, "", RefusedError),
]


def test_each_answer_becomes_its_error() -> None:
    async def ask(cluster: Cluster) -> list[type[BaseException]]:
        asked = [await asyncio.gather(cluster.get_transcription("clip"), return_exceptions=True) for _ in ERRORS]
        return [type(error) for [error] in asked]

    found, _, _ = call(ask, *(Answer.of({"message": message}, code) for code, message, _ in ERRORS))
    assert found == [error for _, _, error in ERRORS]


def test_error_is_transient_when_nobody_listens() -> None:
    async def scene() -> None:
        configuration = client.Configuration()
        configuration.host = "http://127.0.0.1:9"
        counted: list[tuple[str, str, int]] = []
        door = ApiServer(client.ApiClient(configuration), lambda *facts: counted.append(facts), lambda: True)
        try:
            with pytest.raises(TransientError):
                await Cluster(door, "ns").get_job("clip-1")
        finally:
            await door.close()
        assert counted == [("GET", "jobs", 0)]

    asyncio.run(scene())


def test_result_of_the_worker_is_read_back() -> None:
    document = a_manifest(attempt=1, result=RESULT.to_manifest())
    transcription, _, _ = call(lambda c: c.get_transcription("clip"), Answer.of(document))
    assert transcription.status.result == RESULT


def test_finalizer_is_put_on_and_taken_off_beside_those_of_others() -> None:
    held = a_transcription().model_copy(update={"finalizers": ("other.io/a", OUTPUTS_FINALIZER, "other.io/b")})
    bare = a_transcription().model_copy(update={"finalizers": ("other.io/a",)})
    _, server, _ = call(lambda c: c.release_outputs(held), Answer.of(a_manifest()))
    request = server.requests[0]
    assert request.headers["content-type"] == "application/merge-patch+json"
    assert request.json == {"metadata": {"resourceVersion": "100", "finalizers": ["other.io/a", "other.io/b"]}}
    _, server, _ = call(lambda c: c.hold_outputs(bare), Answer.of(a_manifest()))
    assert server.requests[0].json["metadata"]["finalizers"] == ["other.io/a", OUTPUTS_FINALIZER]
