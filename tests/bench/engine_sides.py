"""Windows per CPU-second of one engine, in the worker's image: `python -m tests.bench.engine_sides SIDE SHAPE`.

All decode the same windows of noise with the same random weights, single precision, one thread, timestamps on. What is
counted is CPU time of the process from spectrograms to tokens. Called by worker_benches.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from whisper.decoding import DecodingOptions

from tests.bench.worker_units import CPU_SPEED, TOKENS, WINDOWS
from tests.support import engine_models
from worker.engine.batched import Encoder
from worker.engine.decoding import Decoder, Request
from worker.engine.gpu import StepLoop
from worker.engine.mel import measure_windows

SEQUENTIAL_WINDOWS = {"tiny": 4, "base": 2, "small": 1}
"""One by one, a window costs the same however many there are."""

WARM_UP_TOKENS = 2

Engine = Callable[[Any], list[int]]
"""Spectrograms to the number of tokens of each."""


def main(side: str, shape: str) -> None:
    """Print windows per CPU-second, and how many tokens a window had."""
    torch.set_num_threads(1)
    build = BUILD[side]
    model = engine_models.a_random_model(engine_models.SHAPES[shape])
    count = SEQUENTIAL_WINDOWS[shape] if side == "whisper" else WINDOWS
    mels = measure_windows(engine_models.make_noises(count), 80, engine_models.CPU, torch.float32)
    build(model, WARM_UP_TOKENS)(mels[:1])
    figure, lengths = measure(build(model, TOKENS), mels)
    print(json.dumps({"figures": {CPU_SPEED: figure}, "answer": lengths}))  # noqa: T201  # what the bench reads


def measure(engine: Engine, mels: Any) -> tuple[float, list[int]]:
    """Windows per CPU-second, and the different lengths of their texts in tokens."""
    begin = time.process_time()
    lengths = engine(mels)
    return len(mels) / (time.process_time() - begin), sorted(set(lengths))


def build_ours(model: Any, tokens: int) -> Engine:
    """The worker's batched engine, as it decodes a batch the first time."""
    decoder = Decoder(model, StepLoop(), Request("en", sample_len=tokens), torch.float32)

    def decode(mels: Any) -> list[int]:
        features = Encoder(model, torch.float32).encode(list(mels), range(len(mels)))
        found = decoder.decode_once(features, range(len(mels)), 0.0)
        return [len(one.tokens) for one in found]

    return decode


def build_whisper(model: Any, tokens: int) -> Engine:
    """openai-whisper, a window after the other, as `transcribe` does it."""
    options = DecodingOptions(language="en", sample_len=tokens, fp16=False)
    return lambda mels: [len(model.decode(mel, options).tokens) for mel in mels]


def build_ctranslate2(model: Any, tokens: int) -> Engine:
    """The engine of faster-whisper with the very same weights."""
    sys.path.append("/site")
    from tests.bench.ctranslate2_model import generate, write_model  # a package of this side alone

    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as home:
        loaded = write_model(model, Path(home))
    return lambda mels: generate(loaded, mels, tokens)


BUILD = {"ours": build_ours, "whisper": build_whisper, "ctranslate2": build_ctranslate2}

if __name__ == "__main__":
    main(*sys.argv[1:])
