"""A CUDA graph's rules on a CPU: a step is recorded once, and played back on the same memory with the same numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Work = Callable[[], None]
WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique")
"""What a GPU would have to be waited for."""


class Waits(TorchDispatchMode):
    """Counts the operations whose result Python needs before it can go on."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += func.overloadpacket.__name__ in WAITING
        return func(*args, **(kwargs or {}))


class Tape(Waits):
    """Every operation on the way to the device, in order, with what it works on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
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
    with Tape() as tape:
        work()
    assert tape.count == 0, "a step waits for the device"
    is_done = True

    def play() -> None:
        nonlocal is_done
        if not is_done:
            tape.play()
        is_done = False

    return play
