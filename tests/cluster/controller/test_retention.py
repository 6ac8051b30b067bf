"""How long a finished transcription stays, and what goes with it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from crds.transcriptionjob import OUTPUTS_FINALIZER, PLURAL, State
from crds.worker import build_job_name, build_outputs_prefix, build_result_prefix
from tests.support.arena import Arena, OpenArena
from tests.support.bucket import Bucket
from tests.support.waiting import wait_for

TTL_SECONDS = 3
HOUR = 3600


@pytest.fixture(scope="module")
def forgetful(open_one: OpenArena) -> Iterator[Arena]:
    """Its installation deletes what has finished after a few seconds."""
    with open_one(ttl_seconds_after_finished=str(TTL_SECONDS)) as made:
        yield made


def ask_and_finish(arena: Arena, purpose: str, **spec: object) -> tuple[str, datetime]:
    name = arena.ask(purpose, cancel=True, **spec)
    status = arena.until(name, lambda s: s.completion_time, f"{name} is over")
    assert status.completion_time is not None
    return name, status.completion_time


def find_expiry(arena: Arena, name: str) -> datetime:
    [line] = arena.controller.lines("transcription expired", transcription=f"{arena.namespace}/{name}")
    return datetime.fromisoformat(line["time"])


def test_it_is_deleted_after_its_time_and_not_before(arena: Arena) -> None:
    keeps, _ = ask_and_finish(arena, "keeps", ttlSecondsAfterFinished=HOUR)
    stays, _ = ask_and_finish(arena, "stays")
    goes, completed = ask_and_finish(arena, "goes", ttlSecondsAfterFinished=TTL_SECONDS)
    arena.until_gone(PLURAL, goes)
    assert find_expiry(arena, goes) >= completed + timedelta(seconds=TTL_SECONDS)
    for name in (keeps, stays):
        assert arena.read(name).status.state is State.CANCELLED


def test_it_is_deleted_at_once_when_its_time_is_zero(arena: Arena) -> None:
    name = arena.ask("zero", ttlSecondsAfterFinished=0)
    pod = arena.run(name)
    arena.node.end(pod, 0, arena.build_message(name))
    arena.until_gone(PLURAL, name)
    arena.until_gone("jobs", build_job_name(name, 1))
    arena.until_gone("pods", pod["metadata"]["name"])


def test_the_installations_time_counts_when_it_says_none_itself(forgetful: Arena) -> None:
    keeps, _ = ask_and_finish(forgetful, "keeps", ttlSecondsAfterFinished=HOUR)
    goes, completed = ask_and_finish(forgetful, "goes")
    forgetful.until_gone(PLURAL, goes)
    assert find_expiry(forgetful, goes) >= completed + timedelta(seconds=TTL_SECONDS)
    assert forgetful.read(keeps).status.state is State.CANCELLED


def test_it_is_deleted_when_its_time_ended_while_the_controller_was_down(restartable: Arena) -> None:
    restartable.controller.start()
    name, completed = ask_and_finish(restartable, "missed", ttlSecondsAfterFinished=TTL_SECONDS)
    restartable.until_settled(name)
    restartable.controller.kill()
    expiry = completed + timedelta(seconds=TTL_SECONDS)
    wait_for(lambda: datetime.now(UTC) > expiry, 10, "its time is over")
    assert restartable.read(name).status.settled
    restartable.controller.start()
    restartable.until_gone(PLURAL, name)


def test_its_time_may_be_changed_when_it_has_finished(arena: Arena) -> None:
    name, _ = ask_and_finish(arena, "changed", ttlSecondsAfterFinished=HOUR)
    arena.until_settled(name)
    change = {"metadata": {"labels": {"transcription.ecg.dev/settled": None}}, "spec": {"ttlSecondsAfterFinished": 0}}
    arena.admin.patch(PLURAL, name, change)
    arena.until_gone(PLURAL, name)


@pytest.mark.parametrize("delete_outputs", [True, False])
def test_its_files_go_with_it_only_when_that_is_wanted(arena: Arena, bucket: Bucket, delete_outputs: bool) -> None:
    name = arena.ask("files", deleteOutputs=delete_outputs)
    pod, t = arena.run(name), arena.read(name)
    folder = build_outputs_prefix(t.namespace, t.name, t.uid)
    key = build_result_prefix(t.namespace, t.name, t.uid, 1) + "transcript.json"
    bucket.put(key, b"{}")
    try:
        arena.finish(name, pod)
        assert (OUTPUTS_FINALIZER in arena.read(name).finalizers) == delete_outputs
        arena.admin.delete(PLURAL, name)
        arena.until_gone("pods", pod["metadata"]["name"])
        arena.until_gone(PLURAL, name)
        assert bucket.list(folder) == ([] if delete_outputs else [key])
    finally:
        bucket.delete(key)


def test_the_files_of_one_that_runs_go_when_its_worker_can_store_no_more(arena: Arena, bucket: Bucket) -> None:
    name = arena.ask("early", deleteOutputs=True)
    pod, t = arena.run(name), arena.read(name)
    key = build_result_prefix(t.namespace, t.name, t.uid, 1) + "transcript.json"
    arena.admin.delete(PLURAL, name)
    arena.until_deleting(pod)
    bucket.put(key, b"{}")
    try:
        assert arena.read(name).is_deleting
        arena.node.obey(pod)
        arena.until_gone(PLURAL, name)
        assert bucket.list(build_outputs_prefix(t.namespace, t.name, t.uid)) == []
    finally:
        bucket.delete(key)


def test_its_files_go_when_its_time_is_over(arena: Arena, bucket: Bucket) -> None:
    name = arena.ask("expiring", deleteOutputs=True, ttlSecondsAfterFinished=0)
    pod, t = arena.run(name), arena.read(name)
    key = build_result_prefix(t.namespace, t.name, t.uid, 1) + "transcript.json"
    bucket.put(key, b"{}")
    arena.node.end(pod, 0, arena.build_message(name))
    arena.until_gone(PLURAL, name)
    assert bucket.list(key) == []


def test_no_finalizer_is_left_when_the_files_are_to_stay_after_all(arena: Arena) -> None:
    name = arena.ask("spared", deleteOutputs=True)
    arena.run(name)
    arena.admin.patch(PLURAL, name, {"metadata": {"finalizers": [OUTPUTS_FINALIZER, "example.com/other"]}})
    arena.change(name, deleteOutputs=False)
    wait_for(lambda: arena.read(name).finalizers == ("example.com/other",), 10, "ours alone is taken off")
