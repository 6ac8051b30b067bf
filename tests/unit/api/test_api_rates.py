"""How often callers may call."""

import pytest

from api.auth import Caller
from api.errors import ProblemError
from api.rates import FAILURES, Rates, SlidingCounts

ANYBODY = Caller()


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refusal(rates: Rates, caller: Caller = ANYBODY, address: str = "10.0.0.1") -> int | None:
    """The seconds to wait; None when the request is counted."""
    try:
        rates.count(caller, address)
    except ProblemError as problem:
        assert (problem.status_code, problem.code) == (429, "rate_limited")
        return int(dict(problem.headers or {})["Retry-After"])
    return None


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("start", [1000.0, 1003.7, 1009.9])
def test_who_waits_as_told_gets_in(clock: Clock, limit: int, start: float) -> None:
    clock.seconds = start
    rates = Rates(limit, 10, clock)
    for _ in range(4):
        assert refusal(rates) is None
        wait = next(wait for wait in (refusal(rates) for _ in range(limit)) if wait)
        assert 1 <= wait <= 20
        clock.seconds += wait
    assert refusal(rates) is None


def test_a_window_never_holds_much_more_than_the_limit(clock: Clock) -> None:
    rates = Rates(100, 10, clock)
    taken: list[float] = []
    for step in range(3000):
        clock.seconds = 1000 + step / 50
        if refusal(rates) is None:
            taken.append(clock.seconds)
    busiest = max(sum(1 for other in taken if moment <= other < moment + 10) for moment in taken)
    assert 100 <= busiest <= 125
    assert len(taken) >= 550


def fill(counts: SlidingCounts, clock: Clock, name: str) -> None:
    """Ten, in the middle of the window before 1010."""
    clock.seconds = 1005
    for _ in range(10):
        counts.add(name)


@pytest.mark.parametrize(
    ("moment", "more", "wait"),
    [
        (1005, 0, 6.0),  # full: until a tenth of the next window has passed
        (1010, 0, 1.0),
        (1010.5, 0, 0.5),
        (1011.001, 0, 0),
        (1015, 4, 0),
        (1015, 5, 1.0),
        (1018, 9, 2.0),
        (1018, 10, 3.0),
        (1018, 20, 7.5),  # an address may fail more often than fits
        (1020, 0, 0),
    ],
)
def test_the_wait_is_as_long_as_it_has_to_be_and_no_longer(clock: Clock, moment: float, more: int, wait: float) -> None:
    counts = SlidingCounts(10, 10, clock)
    fill(counts, clock, "a")
    clock.seconds = moment
    for _ in range(more):
        counts.add("a")
    assert counts.wait_seconds("a") == pytest.approx(wait)
    assert counts.wait_seconds("b") == 0
    clock.seconds = moment + wait - 0.001 if wait else moment
    assert (counts.wait_seconds("a") > 0) is (wait > 0)
    clock.seconds = moment + wait + 0.001
    assert counts.wait_seconds("a") == 0


@pytest.mark.parametrize(("moment", "told"), [(1005.1, 6), (1004.9, 7), (1010.1, 1), (1010.9, 1)])
def test_whole_seconds_are_told_rounded_up(clock: Clock, moment: float, told: int) -> None:
    rates = Rates(10, 10, clock)
    fill(rates._requests, clock, "10.0.0.1")
    clock.seconds = moment
    assert refusal(rates) == told


def test_a_burst_of_a_thousand_passes_with_what_is_set_by_default(clock: Clock) -> None:
    rates = Rates(10_000, 10, clock)
    assert [refusal(rates) for _ in range(1000)] == [None] * 1000


def test_nothing_is_counted_when_the_rate_is_off(clock: Clock) -> None:
    rates = Rates(0, 10, clock)
    assert [refusal(rates) for _ in range(5)] == [None] * 5


def test_anonymous_callers_are_told_apart_by_address_and_tenants_by_name(clock: Clock) -> None:
    rates = Rates(1, 10, clock)
    alice = Caller("alice", is_confined=True)
    assert refusal(rates, address="10.0.0.1") is None
    assert refusal(rates, address="10.0.0.2") is None
    assert refusal(rates, alice, "10.0.0.1") is None
    assert refusal(rates, alice, "10.0.0.2") is not None
    assert refusal(rates, Caller("bob", is_confined=True), "10.0.0.2") is None


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:db8::8000:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("no:address", "no:address", True),
    ],
)
def test_an_ipv6_client_is_its_network(clock: Clock, one: str, other: str, is_same: bool) -> None:
    rates = Rates(1, 10, clock)
    assert refusal(rates, address=one) is None
    assert (refusal(rates, address=other) is not None) is is_same


def test_case_45_an_address_that_fails_often_is_told_to_wait(clock: Clock) -> None:
    rates = Rates(0, 10, clock)
    for _ in range(FAILURES):
        rates.count_failure("10.0.0.1")
    with pytest.raises(ProblemError) as caught:
        rates.count_failure("10.0.0.1")
    assert caught.value.status_code == 429
    rates.count_failure("10.0.0.2")
    clock.seconds += int(dict(caught.value.headers or {})["Retry-After"])
    rates.count_failure("10.0.0.1")


def test_memory_is_bounded_when_addresses_are_many(clock: Clock) -> None:
    counts = SlidingCounts(2, 10, clock, max_names=100)
    for number in range(1000):
        counts.add(f"10.0.{number // 250}.{number % 250}")
    assert len(counts._counts) + len(counts._last) <= 200


def test_counts_are_gone_after_two_windows_without_anything_sweeping(clock: Clock) -> None:
    counts = SlidingCounts(2, 10, clock)
    counts.add("a")
    clock.seconds += 20
    assert counts.wait_seconds("a") == 0
    assert not counts._counts
    assert not counts._last
