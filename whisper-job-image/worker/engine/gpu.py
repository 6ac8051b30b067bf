"""How the decoder's steps are run: one by one, or recorded once and played back by a GPU. Called by `engine.decoding`.

What only a GPU can do is here and nowhere else; `BucketLoop` without a recorder is its twin on a CPU.
"""

import resource
from collections.abc import Callable
from typing import Any, Protocol

import torch

from worker.cpu import count_free_bytes
from worker.engine.rules import Rules
from worker.engine.session import Session

SHORTEST_SPAN = 64
MOST_SESSIONS = 3
"""That are kept: the full batch, the last one, and the one for second tries."""

Work = Callable[[], None]


class Loop(Protocol):
    """Sessions and their steps."""

    check_every: int
    """Steps between two looks at which rows are done; a look waits for the device."""
    is_shrinking: bool
    """Whether rows that are done may be left out of the following steps."""

    def open(self, model: Any, rows: int, places: int, dtype: Any) -> Session: ...
    def advance(self, session: Session, rules: Rules, temperature: float) -> None: ...
    def forget(self) -> None: ...


class StepLoop:
    """One step after the other, on exactly as many places as there are tokens: best where launching costs nothing."""

    check_every = 1
    is_shrinking = True

    def open(self, model: Any, rows: int, places: int, dtype: Any) -> Session:
        return Session(model, rows, places, dtype)

    def advance(self, session: Session, rules: Rules, temperature: float) -> None:
        session.step(rules, session.place + 1, is_masked=False, temperature=temperature)

    def forget(self) -> None:
        """Nothing is kept."""


class BucketLoop:
    """Steps on memory that stays where it is, padded to few lengths and row counts, so that each is recorded once."""

    check_every = 8
    is_shrinking = False

    def __init__(self, record: Callable[[Work], Work]) -> None:
        self._record = record
        self._sessions: dict[tuple[int, int], Session] = {}
        self._steps: dict[tuple[Session, Rules, int], Work] = {}
        self._seen: set[tuple[Session, Rules, int]] = set()

    def open(self, model: Any, rows: int, places: int, dtype: Any) -> Session:
        key = (1 << (rows - 1).bit_length(), places)
        session = self._sessions.pop(key, None)
        if session is None:
            if len(self._sessions) == MOST_SESSIONS:
                self._drop(next(iter(self._sessions)))
            session = Session(model, *key, dtype)
        self._sessions[key] = session  # the latest comes last
        return session

    def advance(self, session: Session, rules: Rules, temperature: float) -> None:
        limit = session.tokens.shape[1] - 1
        span = min(max(SHORTEST_SPAN, 1 << session.place.bit_length()), limit)

        def work() -> None:
            session.step(rules, span, is_masked=True, temperature=temperature)

        if temperature:  # too rare to be worth a recording
            work()
            return
        key = (session, rules, span)
        if key not in self._seen:  # what a device sets up the first time cannot be recorded
            self._seen.add(key)
            work()
            return
        if key not in self._steps:
            self._steps[key] = self._record(work)
        self._steps[key]()

    def forget(self) -> None:
        """Let go of all memory and recordings."""
        for key in list(self._sessions):
            self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        session = self._sessions.pop(key)
        self._seen = {step for step in self._seen if step[0] is not session}
        self._steps = {step: work for step, work in self._steps.items() if step[0] is not session}


def play_at_once(work: Work) -> Work:
    """The recorder of a machine without a GPU."""
    return work


def record_graph(work: Work) -> Work:
    """The work as a CUDA graph: one launch instead of a thousand. Recording it does not do it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Work = graph.replay
    return replay


def find_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def find_dtype(device: torch.device) -> Any:
    """What the model works in, as whisper itself has it."""
    return torch.float16 if device.type == "cuda" else torch.float32


def choose_loop(device: torch.device) -> Loop:
    """How steps are run on this device."""
    return BucketLoop(record_graph) if device.type == "cuda" else StepLoop()


def find_free_bytes(device: torch.device) -> int:
    """Memory that a batch may use."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else count_free_bytes()


def forget_cache(device: torch.device) -> None:
    """Give back what the allocator keeps, after memory has run out."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def find_peak_bytes(device: torch.device) -> int:
    """The most memory used so far: the GPU's, or this process's."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
