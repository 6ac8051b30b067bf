"""Places are shared fairly between tenants, in order within each."""

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cache import Cache
from controller.line import Line
from crds.transcriptionjob import JobRef, State, Status, Transcription
from tests.support.controller_fakes import NOW, Clock, a_transcription, final

TENANTS = st.sampled_from(["a", "b", "c", "d"])
ACTS = st.lists(st.tuples(st.sampled_from(["stand", "stand", "finish", "leave"]), TENANTS, st.integers(0, 9)))


def fill(line: Line, limit: int) -> list[str]:
    """All that may start do."""
    first = line.first(limit)
    for name in first:
        line.work(name, name[0])
    return first


def test_fewest_at_work_goes_first_then_the_longest_wait() -> None:
    line = Line()
    for minute, name in enumerate(["a1", "a2", "a3", "b1", "c1"]):
        line.stand(name, name[0], NOW + timedelta(minutes=minute))
    assert line.first(4) == ["a1", "b1", "c1", "a2"]
    line.work("b1", "b")
    assert line.first(4) == ["a1", "c1", "a2"]
    assert (line.active, line.waiting) == (1, 4)


def test_nobody_is_first_when_the_limit_was_lowered_below_those_at_work() -> None:
    line = Line()
    line.work("a1", "a")
    line.work("b1", "b")
    line.stand("c1", "c", NOW)
    assert line.first(1) == []
    assert line.first(3) == ["c1"]


def test_same_list_is_given_until_the_line_moves() -> None:
    line = Line()
    line.stand("a1", "a", NOW)
    first = line.first(1)
    line.stand("a1", "a", NOW)
    assert line.first(1) is first
    line.stand("b1", "b", NOW)
    assert line.first(1) is not first


@given(ACTS, st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_places_are_never_more_than_allowed_and_never_idle(acts: list[tuple[str, str, int]], limit: int) -> None:
    line, at_work, waiting = Line(), [], {}
    for minute, (act, tenant, number) in enumerate(acts):
        name = f"{tenant}{number}"
        if act == "stand" and name not in at_work and name not in waiting:
            waiting[name] = minute
            line.stand(name, tenant, NOW + timedelta(minutes=minute))
        elif act == "finish" and at_work:
            line.leave(at_work.pop(number % len(at_work)))
        elif act == "leave" and name in waiting:
            del waiting[name]
            line.leave(name)
        for started in fill(line, limit):
            mine = [other for other in waiting if other[0] == started[0]]
            assert started == min(mine, key=lambda other: waiting[other])
            del waiting[started]
            at_work.append(started)
        assert len(at_work) <= limit
        assert len(at_work) == limit or not waiting
        assert (line.active, line.waiting) == (len(at_work), len(waiting))


@given(st.lists(TENANTS, min_size=1, max_size=40), st.integers(1, 4), st.randoms())
@settings(max_examples=100, deadline=None)
def test_no_tenant_starves_however_many_the_others_ask_for(order: list[str], limit: int, chance: Any) -> None:
    line, at_work = Line(), []
    for minute, tenant in enumerate(order):
        line.stand(f"{tenant}{minute}", tenant, NOW + timedelta(minutes=minute))
    left = Counter(order)
    while left.total():
        for name in fill(line, limit):
            left[name[0]] -= 1
            at_work.append(name)
        busy = Counter(name[0] for name in at_work)
        unserved = [tenant for tenant in left if left[tenant]]
        assert all(busy[tenant] >= max(busy.values()) - 1 for tenant in unserved)
        line.leave(at_work.pop(chance.randrange(len(at_work))))


def a_cache(*transcriptions: Transcription) -> Cache:
    cache = Cache(Clock())
    for transcription in transcriptions:
        cache.put(transcription)
    return cache


def at_version(transcription: Transcription, version: int, **changes: Any) -> Transcription:
    return transcription.model_copy(update={"resource_version": str(version), **changes})


ACTIVE = a_transcription(Status(attempt=1), name="active")
OTHER = a_transcription(name="other")
FREES: list[dict[str, Any]] = [
    {"status": final(State.SUCCEEDED)},
    {"is_deleting": True},
    {
        "status": ACTIVE.status.model_copy(update={"job_ref": None}),
        "spec": ACTIVE.spec.model_copy(update={"suspend": True}),
    },
]


def test_place_is_free_when_the_one_at_work_ends_in_any_way() -> None:
    for changes in FREES:
        cache = a_cache(ACTIVE, OTHER)
        assert not cache.has_place(OTHER, 1)
        cache.put(at_version(ACTIVE, 101, **changes))
        assert cache.has_place(OTHER, 1)
    cache = a_cache(ACTIVE, OTHER)
    cache.drop("active", ACTIVE.uid)
    assert cache.has_place(OTHER, 1)


def test_nobody_stands_in_line_who_wants_no_attempt() -> None:
    failed = final(State.FAILED)
    out = [
        a_transcription(name="cancelled", cancel=True),
        a_transcription(name="suspended", suspend=True),
        a_transcription(name="managed", managedBy="other.io/queue"),
        a_transcription(failed, name="failed"),
        a_transcription(failed, name="failed-and-suspended", retries=1, suspend=True),
        a_transcription(final(State.SUCCEEDED), name="done", retries=1),
    ]
    assert a_cache(*out).line.waiting == 0
    waiting = [a_transcription(failed, name="retried", retries=1), OTHER]
    assert a_cache(*out, *waiting).line.waiting == 2


def test_place_is_taken_while_a_start_is_on_its_way() -> None:
    older = at_version(a_transcription(name="older"), 100, created=NOW - timedelta(hours=1))
    cache = a_cache(OTHER)
    with cache.place_taken(OTHER):
        cache.put(older)
        assert not cache.has_place(older, 1)
        cache.put(at_version(OTHER, 101, generation=2))
        assert not cache.has_place(older, 1)
    assert cache.has_place(older, 1)
    assert not cache.has_place(OTHER, 1)
    started = Status(attempt=1, job_ref=JobRef(name="other-1"))
    with cache.place_taken(OTHER):
        cache.put(at_version(OTHER, 102, status=started))
    assert not cache.has_place(older, 1)


def test_place_is_free_again_when_the_one_that_started_is_gone() -> None:
    cache = a_cache(OTHER)
    with cache.place_taken(OTHER):
        cache.drop("other", OTHER.uid)
    assert (cache.line.active, cache.line.waiting) == (0, 0)
