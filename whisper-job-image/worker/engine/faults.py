"""What torch says when it fails, in the worker's own words. Called by `engine.door`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from worker.errors import GpuFaultError, GpuOutOfMemoryError, OutOfMemoryError

FAULT_SIGNS = ("CUDA", "cuDNN", "CUBLAS", "NVML")
NO_MEMORY_SIGN = "DefaultCPUAllocator"


@contextmanager
def translated_faults() -> Iterator[None]:
    """Faults of the GPU and of memory end in their own reason."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GpuOutOfMemoryError(str(error)) from error
    except torch.AcceleratorError as error:
        raise GpuFaultError(str(error)) from error
    except RuntimeError as error:
        if any(sign in str(error) for sign in FAULT_SIGNS):
            raise GpuFaultError(str(error)) from error
        if NO_MEMORY_SIGN in str(error):
            raise OutOfMemoryError(str(error)) from error
        raise


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether less at once may work."""
    return isinstance(error, torch.OutOfMemoryError) or NO_MEMORY_SIGN in str(error)
