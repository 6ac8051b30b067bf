"""Two contenders and a store that loses, delays and doubles nothing but answers: one leader at most, at any time."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.lease import CALL_SECONDS, LEASE_SECONDS, Candidate, Claim, Lease, LeaseLostError

NAMES = st.sampled_from(["a", "b"])


@dataclass
class Contender:
    """One process: its state, the write that is on its way, and the answer that waits for it."""

    candidate: Candidate
    born: int = 0
    asked_at: float = 0.0
    sent: Claim | None = None
    answer: Lease | None = None
    frozen: bool = False


@dataclass
class Store:
    lease: Lease | None = None
    version: int = 0

    def write(self, claim: Claim) -> Lease | None:
        """As the API server does it: only in place of the version that was read."""
        if claim.version != (self.lease.version if self.lease else None):
            return None
        self.version += 1
        seconds = LEASE_SECONDS if claim.holder else 1
        self.lease = Lease(str(self.version), claim.holder, seconds, claim.transitions, claim.acquired or "then")
        return self.lease


@dataclass
class World:
    store: Store = field(default_factory=Store)
    now: float = 100.0


class Election(RuleBasedStateMachine):
    """A write reaches the store at any time after it was sent, an answer its sender at any time after that."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.contenders: dict[str, Contender] = {}

    @initialize()
    def start(self) -> None:
        for name in ("a", "b"):
            self.contenders[name] = Contender(Candidate(f"{name}-0"))

    @rule(seconds=st.floats(0.01, 4))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def wait_out_a_lease(self) -> None:
        self.world.now += LEASE_SECONDS + 0.1

    @rule(name=NAMES)
    def look_and_send(self, name: str) -> None:
        """Read, and send the write that follows: it may arrive now, much later or never."""
        contender = self.contenders[name]
        if contender.frozen:
            return
        try:
            contender.candidate.check(self.world.now)
            contender.candidate.learn(self.world.store.lease, self.world.now)
        except LeaseLostError:
            self._replace(name)
            return
        contender.sent = contender.candidate.propose(self.world.now)
        contender.asked_at, contender.answer = self.world.now, None

    @rule(name=NAMES)
    def do_all_at_once(self, name: str) -> None:
        """What happens on a good day."""
        self.look_and_send(name)
        self.arrive(name)
        self.answer(name)

    @rule(name=NAMES)
    def arrive(self, name: str) -> None:
        contender = self.contenders[name]
        if contender.sent is not None:
            contender.answer = self.world.store.write(contender.sent)
            contender.sent = None

    @rule(name=NAMES)
    def answer(self, name: str) -> None:
        contender = self.contenders[name]
        if contender.answer is None or contender.frozen:
            return
        if self.world.now - contender.asked_at > CALL_SECONDS:
            contender.answer = None
            return
        try:
            contender.candidate.win(contender.answer, contender.asked_at, self.world.now)
        except LeaseLostError:
            self._replace(name)
        contender.answer = None

    @rule(name=NAMES)
    def lose(self, name: str) -> None:
        self.contenders[name].sent = self.contenders[name].answer = None

    @rule(name=NAMES)
    def freeze_or_thaw(self, name: str) -> None:
        self.contenders[name].frozen = not self.contenders[name].frozen

    @rule(name=NAMES)
    def die(self, name: str) -> None:
        self._replace(name)

    @precondition(lambda self: any(c.candidate.is_leading(self.world.now) for c in self.contenders.values()))
    @rule()
    def give_back(self) -> None:
        """The clean end of a process; the write that says so arrives whenever it does."""
        for name, contender in list(self.contenders.items()):
            lease = self.world.store.lease
            if contender.candidate.is_leading(self.world.now) and lease and lease.holder == contender.candidate.me:
                contender.candidate.resign()
                contender.sent = Claim(lease.version, "", lease.transitions)
                self._replace(name)

    @invariant()
    def one_leads_at_most(self) -> None:
        leaders = [c.candidate.me for c in self.contenders.values() if c.candidate.is_leading(self.world.now)]
        assert len(leaders) <= 1, leaders

    def _replace(self, name: str) -> None:
        """The process ends, and another one comes; a write that was sent may still arrive."""
        old = self.contenders[name]
        self.contenders[name] = Contender(Candidate(f"{name}-{old.born + 1}"), old.born + 1, sent=old.sent)


TestElection = Election.TestCase
TestElection.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
