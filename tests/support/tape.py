"""A CUDA graph's rules on a CPU: a step is recorded once, and played back on the same memory with the same numbers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Work = Callable[[], None]
WAITING = ("__int__", "__bool__", "__float__", "__index__", "item", "tolist", "cpu", "numpy", "nonzero")
"""What a GPU would have to be waited for."""


@contextmanager
def counted_waits() -> Iterator[list[str]]:
    """The names of the calls whose result Python needs before it can go on."""
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in WAITING:
            patch.setattr(torch.Tensor, name, _count(name, found))
        yield found


def _count(name: str, found: list[str]) -> Callable[..., Any]:
    call = getattr(torch.Tensor, name)

    def count(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(name)
        return call(tensor, *args, **kwargs)

    return count


class Tape(TorchDispatchMode):
    """Every operation on the way to the device, in order, with what it works on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def play(self) -> None:
        """Everything again: fresh results go where the recorded ones were."""
        for func, args, kwargs, out in self.calls:
            found = func(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(found), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def record_tape(work: Work) -> Work:
    """A recorder for `BucketLoop`; recording does the work, so the first playing does nothing."""
    with counted_waits() as waits, Tape() as tape:
        work()
    assert waits == [], "a step waits for the device"
    is_done = True

    def play() -> None:
        nonlocal is_done
        if not is_done:
            tape.play()
        is_done = False

    return play
