"""Models for the engine's tests and benches: the demo model's files, and random weights in whisper's shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from whisper import audio
from whisper.model import ModelDimensions, Whisper

MODELS = Path(__file__).parents[2] / "whisper-job-image/model"
CPU = torch.device("cpu")
SHAPES = {
    "tiny": ModelDimensions(80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4),
    "base": ModelDimensions(80, 1500, 512, 8, 6, 51865, 448, 512, 8, 6),
    "small": ModelDimensions(80, 1500, 768, 12, 12, 51865, 448, 768, 12, 12),
    "large-v3": ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 32),
    "turbo": ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4),
}


SMALLEST = ModelDimensions(80, 1500, 64, 2, 2, 51865, 448, 64, 2, 2)


def a_random_model(dims: ModelDimensions, seed: int = 7) -> Any:
    """The same weights every time; such a model never ends a text by itself."""
    torch.manual_seed(seed)
    model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.01)
    return model.eval()


def load_samples(name: str) -> np.ndarray:
    """A sample recording of the demo model."""
    return (audio.load_audio(str(MODELS / name)) * 32768).astype(np.int16)


def make_noises(count: int) -> list[np.ndarray]:
    """Whole windows of noise, each of its own loudness."""
    rng = np.random.default_rng(3)
    return [(rng.standard_normal(30 * 16000) * 3000 * rng.uniform(0.1, 1)).astype(np.int16) for _ in range(count)]
