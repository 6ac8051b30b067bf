from datetime import timedelta
from typing import Any

from controller.cache import Cache
from crds.transcriptionjob import Progress, Status, Transcription
from tests.support.controller_fakes import NOW, Clock, a_job, a_transcription


def at_version(version: int, percent: int | None = None, **changes: Any) -> Transcription:
    progress = None if percent is None else Progress(pod_uid="p", attempt=1, percent=percent)
    status = Status(attempt=1, progress=progress)
    return a_transcription(status).model_copy(update={"resource_version": str(version), **changes})


def test_worker_is_heard_when_its_progress_changes_and_by_our_own_clock() -> None:
    clock = Clock()
    cache = Cache(clock)
    assert cache.heard("clip") is None
    cache.put(at_version(1))
    assert cache.heard("clip") == NOW
    clock.advance(60)
    cache.put(at_version(2, generation=2))
    assert cache.heard("clip") == NOW
    assert not cache.put(at_version(3, percent=5, generation=2))
    assert cache.heard("clip") == NOW + timedelta(seconds=60)


def test_worker_of_another_transcription_with_that_name_is_given_its_time() -> None:
    clock = Clock()
    cache = Cache(clock)
    cache.put(at_version(1))
    clock.advance(3600)
    cache.put(at_version(2, uid="another"))
    assert cache.heard("clip") == clock()


def test_nobody_is_heard_when_the_transcription_is_gone() -> None:
    cache = Cache(Clock())
    cache.put(at_version(1))
    cache.drop("clip", "another uid")
    assert cache.heard("clip") == NOW
    cache.drop("clip", at_version(1).uid)
    assert cache.heard("clip") is None


def test_older_version_never_replaces_a_newer_one() -> None:
    cache = Cache(Clock())
    cache.put(at_version(10, uid="new"))
    assert not cache.put(at_version(9, uid="old"))
    assert not cache.put(at_version(10, uid="new"))
    kept = cache.get("clip")
    assert kept is not None
    assert kept.uid == "new"


def test_older_job_never_replaces_a_newer_one() -> None:
    cache = Cache(Clock())
    assert cache.put_job(a_job(uid="new", resource_version=10))
    assert not cache.put_job(a_job(uid="old", resource_version=9))
    cache.drop_job("clip-1", "old")
    assert [job.uid for job in cache.jobs_of("clip")] == ["new"]
    cache.drop_job("clip-1", "new")
    assert cache.jobs_of("clip") == []


def test_change_is_told_apart_from_progress() -> None:
    cache = Cache(Clock())
    assert cache.put(at_version(1))
    assert not cache.put(at_version(2, percent=5))
    assert cache.put(at_version(3, percent=5, generation=2))
