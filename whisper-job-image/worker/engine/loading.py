"""A checkpoint file as a model, without the work that `whisper.load_model` does for nothing. Called by `engine.door`.

Whisper builds the module with random weights and copies the file's over them. Here the weights are the mapped file
itself: what a run does not read is never read.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import whisper
from whisper.model import LayerNorm, ModelDimensions, Whisper

from worker.errors import ModelUnavailableError, ModelUnknownError

RANDOMLY_FILLED = (torch.nn.Linear, torch.nn.Embedding, torch.nn.LayerNorm, torch.nn.modules.conv._ConvNd)  # noqa: SLF001
MOST_NAMED = 20
UNREADABLE = (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError)


def find_checkpoint(name: str, model_dir: Path, download_dir: Path | None) -> Path:
    """A path, a file of `model_dir`, or whisper's own download, if there is a folder for one."""
    path = Path(name) if "/" in name else model_dir / f"{name}.pt"
    if path.is_file():
        return path
    if name not in whisper.available_models() or download_dir is None:
        raise ModelUnknownError(name, _say_what_is_there(model_dir))
    try:
        # the one hub that is ever called; it checks the file's hash
        return Path(whisper._download(whisper._MODELS[name], str(download_dir), in_memory=False))  # noqa: SLF001
    except UNREADABLE as error:
        raise ModelUnavailableError(repr(error)) from error


def _say_what_is_there(model_dir: Path) -> str:
    found = sorted(path.stem for path in model_dir.glob("*.pt"))[:MOST_NAMED]
    return f"The model is not installed here: choose one of {', '.join(found) or 'none'}, or have it installed."


def load_model(path: Path, name: str, device: torch.device) -> Any:
    """The model on its device: in half precision on a GPU, stored once, and in single precision elsewhere."""
    try:
        checkpoint = _read(path)
        model = _build(ModelDimensions(**checkpoint["dims"]))
        model.load_state_dict(checkpoint["model_state_dict"], assign=True)
        _set_alignment_heads(model, name)
    except UNREADABLE as error:
        raise ModelUnavailableError(repr(error)) from error
    return _place(model, device).eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)  # a file of the format before 2020
    return checkpoint


def _build(dims: ModelDimensions) -> Any:
    with _without_random_weights():
        return Whisper(dims)


@contextmanager
def _without_random_weights() -> Iterator[None]:
    # torch's own way, the meta device, fails on whisper's sparse alignment heads
    kept = {kind: kind.reset_parameters for kind in RANDOMLY_FILLED}
    for kind in kept:
        kind.reset_parameters = lambda _self: None
    try:
        yield
    finally:
        for kind, fill in kept.items():
            kind.reset_parameters = fill


def _set_alignment_heads(model: Any, name: str) -> None:
    # whisper sets them for downloads only, and word times of a known model are worse without
    heads = whisper._ALIGNMENT_HEADS.get(name)  # noqa: SLF001
    if heads is not None:
        model.set_alignment_heads(heads)


def _place(model: Any, device: torch.device) -> Any:
    if device.type != "cuda":
        return model.float().to(device)
    for module in model.modules():
        # whisper's LayerNorm works in single precision, and adds positions in it
        is_single = isinstance(module, LayerNorm)
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(device, torch.float32 if is_single else torch.float16)
    model.encoder.positional_embedding = model.encoder.positional_embedding.float()
    model.decoder.positional_embedding.data = model.decoder.positional_embedding.data.float()
    return model.to(device)
