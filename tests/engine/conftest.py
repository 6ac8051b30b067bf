"""What the engine's tests share. They run in the worker's image, which has torch and whisper."""

import lzma
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.engine_models import CPU, MODELS, SHAPES, a_random_model
from worker.engine.loading import load_model


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # threads that wait for each other on a busy machine wait long


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "demo.pt"
    path.write_bytes(lzma.decompress((MODELS / "demo.pt.xz").read_bytes()))
    return path


@pytest.fixture(scope="session")
def demo(demo_file: Path) -> Any:
    return load_model(demo_file, "demo", CPU)


@pytest.fixture(scope="session")
def tiny() -> Any:
    return a_random_model(SHAPES["tiny"])


@pytest.fixture(scope="session")
def base() -> Any:
    return a_random_model(SHAPES["base"])
