from datetime import UTC, datetime

import pytest

from controller.lease import (
    CALL_SECONDS,
    LEASE_SECONDS,
    RENEW_SECONDS,
    RENEWED_FOR_SECONDS,
    RETRY_SECONDS,
    Candidate,
    Claim,
    Lease,
    LeaseLostError,
    Sighting,
    decide_claim,
    follow,
)

OURS = Lease("7", "me", transitions=3, acquired="then")
THEIRS = Lease("7", "they", seconds=9, transitions=3, acquired="then")
GIVEN_BACK = Lease("7", "", transitions=3)


@pytest.mark.parametrize(
    ("lease", "seen_for", "claim"),
    [
        (None, 0, Claim(None, "me")),
        (OURS, 0, Claim("7", "me", 3, "then")),
        (OURS, 100, Claim("7", "me", 3, "then")),
        (GIVEN_BACK, 0, Claim("7", "me", 4)),
        (THEIRS, 0, None),
        (THEIRS, 9, None),
        (THEIRS, 9.1, Claim("7", "me", 4)),
        (Lease("7", "they", seconds=60), 59, None),
        (Lease("7", "they", seconds=60), 61, Claim("7", "me", 1)),
    ],
)
def test_a_lease_is_claimed_when_it_is_free_or_ours_or_old(
    lease: Lease | None, seen_for: float, claim: Claim | None
) -> None:
    assert decide_claim(Sighting(lease, 1000), "me", 1000 + seen_for) == claim


def test_patience_counts_from_the_last_change() -> None:
    first = follow(None, THEIRS, 100)
    assert follow(first, Lease("7", "they", 9, 3, "then"), 105) == Sighting(THEIRS, 100)
    renewed = Lease("8", "they", 9, 3, "then")
    assert follow(first, renewed, 108) == Sighting(renewed, 108)


def test_a_leader_stops_well_before_another_one_may_start() -> None:
    assert RENEWED_FOR_SECONDS + CALL_SECONDS < LEASE_SECONDS
    assert RENEW_SECONDS + 2 * RETRY_SECONDS <= RENEWED_FOR_SECONDS - CALL_SECONDS, "one failed renewal is forgiven"


def test_the_next_one_leads_soon_enough_to_work_within_fifteen_seconds() -> None:
    seen_late = found_late = RETRY_SECONDS
    seconds_to_start = 4
    assert seen_late + LEASE_SECONDS + found_late + seconds_to_start <= 15


def test_a_renewal_counts_from_when_it_was_asked_for() -> None:
    candidate = Candidate("me")
    candidate.learn(None, 10)
    candidate.win(OURS, 10, 12)
    assert candidate.is_leading(10 + RENEWED_FOR_SECONDS - 0.1)
    assert not candidate.is_leading(10 + RENEWED_FOR_SECONDS)


def test_a_leader_never_leads_again_after_its_time() -> None:
    candidate = Candidate("me")
    candidate.win(OURS, 10, 10)
    candidate.check(15)
    with pytest.raises(LeaseLostError):
        candidate.check(16)
    with pytest.raises(LeaseLostError):
        candidate.win(OURS, 15.9, 16.5)


def test_an_answer_that_took_longer_than_the_lease_makes_no_leader() -> None:
    candidate = Candidate("me")
    with pytest.raises(LeaseLostError):
        candidate.win(OURS, 10, 10 + RENEWED_FOR_SECONDS)
    assert not candidate.is_leading(10 + RENEWED_FOR_SECONDS)


@pytest.mark.parametrize("found", [None, THEIRS, GIVEN_BACK])
def test_a_leader_whose_lease_is_gone_stops(found: Lease | None) -> None:
    candidate = Candidate("me")
    candidate.win(OURS, 10, 10)
    with pytest.raises(LeaseLostError):
        candidate.learn(found, 11)


def test_one_that_resigned_leads_no_more() -> None:
    candidate = Candidate("me")
    assert not candidate.resign()
    candidate.win(OURS, 10, 10)
    assert candidate.resign()
    assert not candidate.is_leading(10)


def test_a_claim_is_a_whole_lease_of_the_version_that_was_read() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 600, UTC)
    manifest = Claim("7", "me", 4).build_manifest("ns", "scribe", now)
    assert manifest == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "ns", "name": "scribe", "resourceVersion": "7"},
        "spec": {
            "holderIdentity": "me",
            "leaseDurationSeconds": LEASE_SECONDS,
            "leaseTransitions": 4,
            "acquireTime": "2026-01-02T03:04:05.000600Z",
            "renewTime": "2026-01-02T03:04:05.000600Z",
        },
    }
    stored = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": "8"}}
    assert Lease.parse(stored) == Lease("8", "me", LEASE_SECONDS, 4, "2026-01-02T03:04:05.000600Z")
    assert "resourceVersion" not in Claim(None, "me").build_manifest("ns", "scribe", now)["metadata"]
    assert Claim("7", "").build_manifest("ns", "scribe", now)["spec"]["leaseDurationSeconds"] == 1


def test_a_lease_of_another_hand_is_read_with_what_it_lacks() -> None:
    assert Lease.parse({"metadata": {"resourceVersion": "7"}, "spec": {}}) == Lease("7", "")
