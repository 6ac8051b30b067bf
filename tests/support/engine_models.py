"""Models for the engine's tests and benches: the demo model's files, and random weights in whisper's shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from whisper import audio
from whisper.model import ModelDimensions, Whisper

MODELS = Path(__file__).parents[2] / "whisper-job-image/model"
CPU = torch.device("cpu")
END_OF_TEXT = 50257
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


def a_listening_model(seed: int, likely_end: float = 6.0) -> Any:
    """Random weights that make what is heard decide what is written; 0 for `likely_end` makes texts that never end."""
    model = a_random_model(SMALLEST, seed)
    with torch.no_grad():
        model.decoder.token_embedding.weight *= 0.4
        model.decoder.token_embedding.weight[END_OF_TEXT] *= likely_end
        for block in (*model.encoder.blocks, *model.decoder.blocks):
            for attention in filter(None, (block.attn, block.cross_attn)):
                for layer in (attention.query, attention.key, attention.value, attention.out):
                    layer.weight *= 4
    return model


def load_samples(name: str) -> np.ndarray:
    """A sample recording of the demo model."""
    return (audio.load_audio(str(MODELS / name)) * 32768).astype(np.int16)


def make_noises(count: int) -> list[np.ndarray]:
    """Whole windows of noise, each of its own loudness."""
    rng = np.random.default_rng(3)
    return [(rng.standard_normal(30 * 16000) * 3000 * rng.uniform(0.1, 1)).astype(np.int16) for _ in range(count)]
