"""The arithmetic of a bench: ratios of interleaved pairs, and whether a goal is met. Pure; for harness and report."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MAX_CONTROL_DEVIATION = 0.10
"""A peer that differs more from itself than this has been measured on too noisy a machine."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on ours / peer: at least where more is better, at most where less is."""

    bound: float
    is_floor: bool

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.is_floor else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.is_floor else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    return Goal(bound, is_floor=True)


def at_most(bound: float) -> Goal:
    return Goal(bound, is_floor=False)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some samples, and how far they lie apart."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.low)} to {digits(self.high)})"


def spread_of(samples: Sequence[float]) -> Spread:
    return Spread(median(samples), min(samples), max(samples))


def ratio_of(ours: Sequence[float], peer: Sequence[float]) -> Spread:
    """The ratio of the medians, between the lowest and the highest ratio of two neighbours."""
    pairs = [one / other for one, other in zip(ours, peer, strict=True)]
    return Spread(median(ours) / median(peer), min(pairs), max(pairs))


def control_of(peer: Sequence[float]) -> float:
    """The peer beside itself: the median of its odd runs over that of its even ones; 1 on a quiet machine."""
    return median(peer[::2]) / median(peer[1::2]) if len(peer) > 1 else 1.0


def is_quiet(control: float, deviation: float = MAX_CONTROL_DEVIATION) -> bool:
    return abs(control - 1) <= deviation


def digits(value: float) -> str:
    """Three significant digits, and never an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
