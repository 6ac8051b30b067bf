"""Who may lead, by one Lease: what is read becomes a claim, or patience. Pure; leader.py asks and acts.

No two clocks are compared. Who waits counts from when it saw the Lease change last, as client-go does; who leads counts
from when it asked for its last renewal, and its time is over well before the others' patience is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from controller.errors import ControllerError

LEASE_SECONDS = 9
RENEWED_FOR_SECONDS = 6.0
RENEW_SECONDS = 2.0
RETRY_SECONDS = 1.0
CALL_SECONDS = 2.0


class LeaseLostError(ControllerError):
    """Another one leads, or may: this process must not act any more."""


@dataclass(frozen=True)
class Lease:
    """The object as it was read. No holder: it was given back."""

    version: str
    holder: str
    seconds: int = LEASE_SECONDS
    transitions: int = 0
    acquired: str | None = None

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Self:
        """A Lease as the API server sends it."""
        spec = manifest.get("spec") or {}
        return cls(
            version=manifest["metadata"]["resourceVersion"],
            holder=spec.get("holderIdentity") or "",
            seconds=spec.get("leaseDurationSeconds") or LEASE_SECONDS,
            transitions=spec.get("leaseTransitions") or 0,
            acquired=spec.get("acquireTime"),
        )


@dataclass(frozen=True)
class Claim:
    """A write that makes its holder the leader, or says that nobody is; version None makes the Lease."""

    version: str | None
    holder: str
    transitions: int = 0
    acquired: str | None = None

    def build_manifest(self, namespace: str, name: str, now: datetime) -> dict[str, Any]:
        """The whole object; a stored one is only replaced if it is the version that was read."""
        meta = {"namespace": namespace, "name": name} | ({"resourceVersion": self.version} if self.version else {})
        written = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": LEASE_SECONDS if self.holder else 1,
            "leaseTransitions": self.transitions,
            "acquireTime": self.acquired or written,
            "renewTime": written,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


@dataclass(frozen=True)
class Sighting:
    """The last change of the Lease, and when it was first seen here; no lease: there is none."""

    lease: Lease | None
    time: float


def follow(before: Sighting | None, lease: Lease | None, now: float) -> Sighting:
    """What is read again is no news: its time stays that of the first look."""
    return before if before is not None and before.lease == lease else Sighting(lease, now)


def decide_claim(seen: Sighting, me: str, now: float) -> Claim | None:
    """What to write to lead, or to go on leading; None while another one's time runs."""
    lease = seen.lease
    if lease is None:
        return Claim(None, me)
    if lease.holder == me:
        return Claim(lease.version, me, lease.transitions, lease.acquired)
    if not lease.holder or now - seen.time > lease.seconds:
        return Claim(lease.version, me, lease.transitions + 1)
    return None


class Candidate:
    """One process that wants to lead: what it has seen, and until when it leads."""

    def __init__(self, me: str) -> None:
        self.me = me
        self._seen: Sighting | None = None
        self._leads_until: float | None = None

    def is_leading(self, now: float) -> bool:
        return self._leads_until is not None and now < self._leads_until

    def check(self, now: float) -> None:
        """LeaseLostError when it has led, and its time is over: it never leads twice."""
        if self._leads_until is not None and now >= self._leads_until:
            raise LeaseLostError("the lease was not renewed in time")

    def learn(self, lease: Lease | None, now: float) -> None:
        """The Lease as it was just read; LeaseLostError when it was this one's and is not any more."""
        if self._leads_until is not None and (lease is None or lease.holder != self.me):
            raise LeaseLostError(f"the lease is held by {lease.holder if lease else 'nobody'}")
        self._seen = follow(self._seen, lease, now)

    def propose(self, now: float) -> Claim | None:
        """The next write; None: wait."""
        return decide_claim(self._seen, self.me, now) if self._seen is not None else None

    def win(self, lease: Lease, asked_at: float, now: float) -> None:
        """The write was taken. It counts from when it was asked for, and for nothing when the answer was too slow."""
        self.check(now)
        self._seen = Sighting(lease, now)
        self._leads_until = asked_at + RENEWED_FOR_SECONDS
        self.check(now)

    def resign(self) -> bool:
        """Lead no more; whether it did."""
        was_leader, self._leads_until = self._leads_until is not None, None
        return was_leader

    def seconds_left(self, now: float) -> float:
        """How long it leads still; for ever long while it does not."""
        return float("inf") if self._leads_until is None else self._leads_until - now
