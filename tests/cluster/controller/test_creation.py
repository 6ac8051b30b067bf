"""From a resource to its Job: one, whatever the name and whoever is restartable."""

import json
from functools import partial

import pytest

from crds.reasons import Reason
from crds.transcriptionjob import API_VERSION, KIND, PLURAL, ConditionType, State
from crds.worker import TASK_ENV, build_job_name
from tests.support.arena import SOURCE, Arena, OpenArena, refuse, truth
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for


def test_one_job_is_made_with_its_owner_when_a_transcription_is_made(arena: Arena) -> None:
    name = arena.ask("one", tenant="acme")
    job, made = arena.wait_for_job(name), arena.read(name)
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (KIND, name, made.uid, True)
    assert owner["blockOwnerDeletion"] is True
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["transcription.ecg.dev/tenant"] == "acme"
    assert labels["transcription.ecg.dev/attempt"] == "1"
    env = {e["name"]: e.get("value") for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert json.loads(env[TASK_ENV])["target"]["uid"] == made.uid
    arena.run(name)
    assert arena.jobs_of(name) == [build_job_name(name, 1)]


def test_one_job_is_made_when_the_controller_dies_between_status_and_job(restartable: Arena) -> None:
    name = restartable.ask("status-first")
    restartable.set_status(name, attempt=1, tries=1, state="Pending", jobRef={"name": build_job_name(name, 1)})
    restartable.controller.start()
    restartable.wait_for_job(name)
    restartable.finish(name, restartable.run(name))
    assert restartable.jobs_of(name) == [build_job_name(name, 1)]
    assert restartable.read(name).status.attempt == 1
    assert restartable.controller.count_calls("POST", "jobs") == 1


def test_one_job_is_made_when_the_controller_dies_right_after_the_job(restartable: Arena) -> None:
    restartable.controller.start()
    name = restartable.ask("job-first")
    uid = restartable.wait_for_job(name)["metadata"]["uid"]
    restartable.controller.kill()
    restartable.set_status(name, jobRef={"name": build_job_name(name, 1), "uid": None}, conditions=None)
    restartable.controller.start()
    restartable.finish(name, restartable.run(name))
    job = restartable.job(name)
    assert job is not None
    assert job["metadata"]["uid"] == uid
    assert restartable.jobs_of(name) == [build_job_name(name, 1)]
    assert restartable.controller.count_calls("POST", "jobs") == 0


def test_it_fails_and_leaves_the_other_alone_when_its_jobs_name_is_taken(arena: Arena) -> None:
    name = an_id("taken")
    container = {"name": "other", "image": "other"}
    other = arena.admin.create(
        "jobs",
        {
            "metadata": {"name": build_job_name(name, 1)},
            "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        },
    )
    arena.ask(name=name)
    status = arena.until_settled(name)
    assert status.failure is not None
    assert status.failure.reason == Reason.NAME_CONFLICT
    there = arena.job(name)
    assert there is not None
    assert there["metadata"]["uid"] == other["metadata"]["uid"]
    assert there["spec"] == other["spec"]
    assert "ownerReferences" not in there["metadata"]


def test_a_name_of_52_characters_makes_a_job_and_a_pod_with_the_whole_name(arena: Arena) -> None:
    name = arena.ask(name=f"{an_id('long')}-".ljust(51, "x") + "y")
    assert len(name) == 52
    pod = arena.run(name)
    assert pod["metadata"]["name"].startswith(f"{name}-1-")
    assert len(pod["metadata"]["name"]) <= 63


@pytest.mark.parametrize("length", [53, 63])
def test_a_name_is_refused_when_it_is_too_long(arena: Arena, length: int) -> None:
    answer = arena.admin.call("POST", arena.admin.path(PLURAL), a_manifest(name="a" * length))
    assert "RFC 1123 label of at most 52 characters" in refuse(answer)


def test_each_gets_a_name_of_its_own_when_one_is_generated(arena: Arena) -> None:
    names = [arena.admin.create(PLURAL, a_manifest(generateName="talk-"))["metadata"]["name"] for _ in range(2)]
    assert len(set(names)) == 2
    for name in names:
        assert arena.wait_for_job(name)["metadata"]["name"] == f"{name}-1"


def test_a_generated_name_is_refused_when_its_beginning_is_too_long(arena: Arena) -> None:
    answer = arena.admin.call("POST", arena.admin.path(PLURAL), a_manifest(generateName="a" * 52))
    assert "RFC 1123 label of at most 52 characters" in refuse(answer)


def test_a_warning_and_a_condition_tell_it_and_no_loop_runs_when_the_job_template_is_invalid(
    open_one: OpenArena,
) -> None:
    with open_one(pod={"labels": {"not a label!": "x"}}) as broken:
        names = [broken.ask("broken") for _ in range(3)]
        for name in names:
            status = broken.until_settled(name)
            assert status.failure is not None
            assert status.failure.reason == Reason.JOB_REFUSED
            assert truth(status, ConditionType.STALLED) == "True"
            [event] = wait_for(partial(broken.events, name, "Failed"), 10, "there is an Event")
            assert event["type"] == "Warning"
            assert broken.jobs_of(name) == []
        assert broken.controller.count_calls("POST", "jobs") == len(names)
        assert {broken.read(name).status.state for name in names} == {State.FAILED}


def a_manifest(**metadata: str) -> dict[str, object]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"source": SOURCE}}
