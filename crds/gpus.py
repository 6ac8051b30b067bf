"""What the resource name of a GPU tells, and which model fits into it. Pure; used by the controller.

Names: https://github.com/NVIDIA/k8s-device-plugin (gpu, mig-<slices>g.<GB>gb, gpu.shared), amd.com/gpu.
Memory of a model: https://github.com/openai/whisper#available-models-and-languages
"""

import re

MODEL_GIGABYTES = {"tiny": 1, "base": 1, "small": 2, "medium": 5, "large": 10, "turbo": 6}
"""By the first word of a model's name; a model that is not listed is taken to fit."""

_SLICE = re.compile(r".*/mig-\d+g\.(\d+)gb(\..+)?")


def find_slice_gigabytes(gpu_resource: str) -> int | None:
    """The memory that the name promises, in GB; None for a whole or shared GPU, which says nothing of it."""
    found = _SLICE.fullmatch(gpu_resource)
    return int(found.group(1)) if found else None


def find_model_gigabytes(model: str) -> int | None:
    """The GPU memory that a Whisper model wants, in GB; None for one that is not Whisper's own."""
    if model == "large-v3-turbo":
        return MODEL_GIGABYTES["turbo"]
    return MODEL_GIGABYTES.get(re.split(r"[-.]", model, maxsplit=1)[0])


def explain_misfit(model: str, gpu: int, gpu_resource: str) -> str | None:
    """One sentence with the next step when the model is larger than the slice; None when it fits or may fit."""
    room, wanted = find_slice_gigabytes(gpu_resource), find_model_gigabytes(model)
    if gpu == 0 or room is None or wanted is None or wanted <= room:
        return None
    return (
        f"Model {model} wants about {wanted} GB and {gpu_resource} has {room}:"
        " choose a smaller model or a larger slice, and send a new request."
    )
