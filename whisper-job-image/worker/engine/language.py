"""Which language a file is in, from several places of it. Called by `engine.door`."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from whisper.tokenizer import get_tokenizer

from worker.engine.batched import Encoder
from worker.engine.decoding import read_languages
from worker.windows import Window

MOST_PLACES = 5

T = TypeVar("T")


def spread(items: Sequence[T], most: int = MOST_PLACES) -> list[T]:
    """At most so many of them, from begin to end."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def detect(model: Any, encoder: Encoder, windows: Sequence[Window]) -> dict[str, float]:
    """How likely each language is, over all these windows."""
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    features = encoder.encode(list(encoder.measure(windows)), [window.start for window in windows])
    encoder.remember(windows, features)
    with torch.inference_mode():
        start = torch.full((len(windows), 1), tokenizer.sot, device=model.device)
        found = read_languages(model.logits(start, features)[:, 0], tokenizer)
    return {code: sum(row[code] for row in found) / len(found) for code in found[0]}


def choose(likelihoods: Mapping[str, float], options: Sequence[str]) -> str:
    """The likeliest language; of the options, where there are any."""
    return max(options or likelihoods, key=lambda code: likelihoods.get(code, 0.0))
