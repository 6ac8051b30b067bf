"""The protocol of every bench. Called by __main__; a later bench needs a Bench in a list of its own and no more.

A bench is ours and one or more peers. A round runs each of them once, one after the other, each in a fresh process;
seven rounds make a bench. What the machine does meanwhile hits both sides of a pair alike, and the figures are
CPU-seconds and bytes of the measured process, which other work disturbs less than time on the clock.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from tests.bench.figures import MAX_CONTROL_DEVIATION, Goal, Spread, control_of, is_quiet, ratio_of, spread_of

ROUNDS = 7
OURS = "ours"


class BenchError(Exception):
    """A side did not run, or did other work than the side beside it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one side: its figures by unit, and what it answered, which must be what the others answered."""

    figures: Mapping[str, float]
    answer: object


Side = Callable[[], Sample]


@dataclass(frozen=True, slots=True)
class Bench:
    """`sides` has ours first; `goals` has each unit, and what the first peer is to be beaten by in it, if anything.

    `around` makes what all rounds need on the cluster. `rounds` may be fewer where the figures are counts, and the
    `deviation` of the control larger where a goal is about time on the clock.
    """

    name: str
    title: str
    sides: Mapping[str, Side]
    goals: Mapping[str, Goal | None]
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    rounds: int = ROUNDS
    deviation: float = MAX_CONTROL_DEVIATION
    peer_goals: Mapping[str, Mapping[str, Goal]] = field(default_factory=dict)
    """What is wanted of ours beside another peer than the first, by peer and unit."""

    def find_goal(self, unit: str, peer: str) -> Goal | None:
        """The goal of a row, if it has one."""
        _, first, *_ = self.sides
        return self.goals[unit] if peer == first else self.peer_goals.get(peer, {}).get(unit)


@dataclass(frozen=True, slots=True)
class Row:
    """Ours beside one peer, in one unit."""

    unit: str
    peer: str
    ratio: Spread
    goal: Goal | None
    ours: Spread
    theirs: Spread
    control: float

    @property
    def is_missed(self) -> bool:
        return self.goal is not None and not self.goal.is_met(self.ratio.median)


@dataclass(slots=True)
class Outcome:
    bench: Bench
    samples: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """Unit by unit, peer by peer."""
        _, *peers = self.bench.sides
        return [self._row(unit, peer, self.bench.find_goal(unit, peer)) for unit in self.bench.goals for peer in peers]

    @property
    def is_quiet(self) -> bool:
        return all(is_quiet(row.control, self.bench.deviation) for row in self.rows() if row.goal)

    def _row(self, unit: str, peer: str, goal: Goal | None) -> Row:
        ours, theirs = self._figures(OURS, unit), self._figures(peer, unit)
        ratio = ratio_of(ours, theirs)
        return Row(unit, peer, ratio, goal, spread_of(ours), spread_of(theirs), control_of(theirs))

    def _figures(self, side: str, unit: str) -> Sequence[float]:
        return [sample[unit] for sample in self.samples[side]]


def measure(bench: Bench, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run all rounds; BenchError when a side fails or the sides answer differently."""
    outcome = Outcome(bench, {side: [] for side in bench.sides})
    for number in range(bench.rounds):
        tell(f"{bench.name}: round {number + 1} of {bench.rounds}")
        answers = {name: _run(outcome, name, side) for name, side in bench.sides.items()}
        _check_alike(bench, answers)
    return outcome


def _run(outcome: Outcome, name: str, side: Side) -> object:
    sample = side()
    outcome.samples[name].append(sample.figures)
    return sample.answer


def _check_alike(bench: Bench, answers: Mapping[str, object]) -> None:
    for name, answer in answers.items():
        if answer != answers[OURS]:
            raise BenchError(f"{bench.name}: {name} answers {answer}, {OURS} answers {answers[OURS]}")
