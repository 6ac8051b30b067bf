"""From a checkpoint file to the first decoded token: `python -m tests.bench.load_sides SIDE SHAPE FILE` in the image.

Each is a fresh process; the clock starts once torch and whisper are imported, which both need alike. Called by
worker_benches, and by gpu, where it uses the GPU.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import whisper
from whisper.decoding import DecodingOptions

from tests.bench.worker_units import TOKENS, load_unit_of, read_unit_of
from worker.cpu import count_cpus
from worker.engine import gpu
from worker.engine.batched import Encoder
from worker.engine.decoding import Decoder, Request
from worker.engine.loading import load_model


def main(side: str, shape: str, path: str) -> None:
    """Print the seconds, and the first token."""
    torch.set_num_threads(count_cpus())
    load, decode = SIDES[side]
    began_at = time.perf_counter()
    model = load(Path(path))
    loaded_at = time.perf_counter()
    tokens = decode(model)
    seconds = {load_unit_of(shape): time.perf_counter() - began_at, read_unit_of(shape): loaded_at - began_at}
    print(json.dumps({"figures": seconds, "answer": tokens}))  # noqa: T201  # what the bench reads


def make_sound(model: Any) -> Any:
    """The same half minute for all."""
    places = torch.linspace(0, 7, model.dims.n_mels * 3000)
    return places.sin().reshape(1, -1, 3000).to(model.device, gpu.find_dtype(model.device))


def load_ours(path: Path) -> Any:
    return load_model(path, path.stem, gpu.find_device())


def decode_ours(model: Any) -> list[int]:
    """By the engine as the worker opens it."""
    dtype = gpu.find_dtype(model.device)
    decoder = Decoder(model, gpu.choose_loop(model.device), Request("en", sample_len=1), dtype)
    features = Encoder(model, dtype).encode(list(make_sound(model)), [0])
    return list(decoder.decode_once(features, [0], 0.0)[0].tokens)


def load_whispers(path: Path) -> Any:
    return whisper.load_model(str(path), device=gpu.find_device())


def decode_whispers(model: Any, most_tokens: int = 1) -> list[int]:
    """By whisper's own `decode`, which has a first token for its caller when it has all."""
    options = DecodingOptions(language="en", sample_len=most_tokens, fp16=model.device.type == "cuda")
    return list(model.decode(make_sound(model)[0], options).tokens)[:1]


SIDES = {
    "ours": (load_ours, decode_ours),
    "whisper": (load_whispers, decode_whispers),
    "whisper-window": (load_whispers, partial(decode_whispers, most_tokens=TOKENS)),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
