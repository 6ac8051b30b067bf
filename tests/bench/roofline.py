"""How fast a GPU could be at the most: the work of a window over the rates of the same run. Pure; for gpu.

The encoder is bound by arithmetic, each step of the decoder by reading weights and caches once, in half precision.
"""

from dataclasses import dataclass
from typing import Protocol

FRAMES = 3000
WIDTH_BYTES = 2
PROMPT_TOKENS = 4


class Dims(Protocol):
    """Whisper's ModelDimensions."""

    n_mels: int
    n_vocab: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_layer: int
    n_text_state: int
    n_text_layer: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Of a large matrix product, and of reading memory."""

    operations_per_second: float
    bytes_per_second: float


def find_ceiling(dims: Dims, rows: int, tokens: int, rates: Rates) -> float:
    """Windows a second, encoder and decoder one after the other."""
    encoding = count_operations(dims) / rates.operations_per_second
    decoding = tokens * count_step_bytes(dims, rows, tokens) / rates.bytes_per_second / rows
    return 1 / (encoding + decoding)


def count_operations(dims: Dims) -> float:
    """Of the encoder for a window, and of the keys and values that the decoder takes from it."""
    width, places = dims.n_audio_state, dims.n_audio_ctx
    convolutions = 2 * dims.n_mels * width * 3 * FRAMES + 2 * width**2 * 3 * places
    layer = 24 * places * width**2 + 4 * places**2 * width
    return convolutions + dims.n_audio_layer * layer + dims.n_text_layer * 4 * places * width**2


def count_step_bytes(dims: Dims, rows: int, tokens: int) -> float:
    """Read for one token of each row, at half the length of the text."""
    width, layers = dims.n_text_state, dims.n_text_layer
    weights = WIDTH_BYTES * (14 * layers * width**2 + dims.n_vocab * width)
    context = dims.n_audio_ctx + tokens / 2 + PROMPT_TOKENS
    return weights + rows * 2 * layers * context * width * WIDTH_BYTES
