"""The benches of the worker on a CPU. Listed in __main__; their sides run in the worker's image."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from tests.bench import worker_image
from tests.bench.figures import at_least, at_most
from tests.bench.harness import OURS, Bench, Sample, Side
from tests.bench.worker_units import (
    CPU_SPEED,
    DECODED,
    FEED_MEMORY,
    FIRST_WINDOW,
    RECORDING,
    SHAPES,
    TOKENS,
    WINDOWS,
    load_unit_of,
    read_unit_of,
)

WHISPER = "openai-whisper"
CTRANSLATE2 = "CTranslate2"
ON_THE_CLOCK = 0.25
ENGINE_ROUNDS = {"tiny": 7, "base": 3, "small": 3}
"""A round of the larger shapes takes minutes, and CPU time spreads little."""
ENGINES = "tests.bench.engine_sides"
FEEDS = "tests.bench.feed_sides"
LOADS = "tests.bench.load_sides"


@contextmanager
def files_made() -> Iterator[None]:
    """Checkpoints and a recording lie on this machine, read once."""
    worker_image.run_module("tests.bench.worker_files", worker_image.DATA)
    yield


def build_engine(shape: str, rounds: int) -> Bench:
    """Spectrograms to tokens."""
    return Bench(
        f"engine-{shape}",
        f"{WINDOWS} windows of 30 s to {TOKENS} tokens each, shape {shape}, single precision, one thread",
        {
            OURS: partial(worker_image.run_side, ENGINES, "ours", shape),
            f"{WHISPER}, one after the other": partial(worker_image.run_side, ENGINES, "whisper", shape),
            CTRANSLATE2: partial(worker_image.run_side, ENGINES, "ctranslate2", shape),
        },
        {CPU_SPEED: at_least(1.8)},
        rounds=rounds,
        peer_goals={CTRANSLATE2: {CPU_SPEED: at_least(0.6)}},
    )


def build_feed() -> Bench:
    """A file to spectrograms."""
    return Bench(
        "feed",
        "an hour of MP3 to windows for the model",
        _feed_sides("feed", f"{WHISPER}, load_audio and log_mel_spectrogram"),
        {FIRST_WINDOW: at_most(1 / 20), FEED_MEMORY: at_most(1 / 15)},
        around=files_made,
        deviation=ON_THE_CLOCK,
    )


def build_decode() -> Bench:
    """A file to samples."""
    return Bench(
        "decode",
        "an hour of MP3 to samples",
        _feed_sides("decode", f"one ffmpeg, command of {WHISPER}"),
        {DECODED: at_least(1.6)},
        around=files_made,
        deviation=ON_THE_CLOCK,
    )


def build_load() -> Bench:
    """A model file to a first token, each shape in fresh processes."""
    goals = {load_unit_of(shape): at_most(1 / 8) for shape in SHAPES}
    return Bench(
        "load",
        "checkpoint file to the first token",
        {
            OURS: partial(load_all, "ours"),
            f"{WHISPER}, load_model and decode of {TOKENS} tokens": partial(load_all, "whisper-window"),
            f"{WHISPER}, load_model and decode of one token": partial(load_all, "whisper"),
        },
        {**goals, **dict.fromkeys(map(read_unit_of, SHAPES))},
        around=files_made,
        deviation=ON_THE_CLOCK,
    )


def load_all(side: str, run: Callable[..., Sample] = worker_image.run_side) -> Sample:
    """One sample of all shapes."""
    found = {shape: run(LOADS, side, shape, f"{worker_image.DATA}/{shape}.pt") for shape in SHAPES}
    figures: Mapping[str, float] = {unit: value for one in found.values() for unit, value in one.figures.items()}
    return Sample(figures, {shape: one.answer for shape, one in found.items()})


def _feed_sides(kind: str, peer: str) -> dict[str, Side]:
    file = f"{worker_image.DATA}/{RECORDING}"
    return {
        OURS: partial(worker_image.run_side, FEEDS, f"{kind}-ours", file),
        peer: partial(worker_image.run_side, FEEDS, f"{kind}-whisper", file),
    }


BENCHES: dict[str, Callable[[], Bench]] = {
    **{f"engine-{shape}": partial(build_engine, shape, rounds) for shape, rounds in ENGINE_ROUNDS.items()},
    "feed": build_feed,
    "decode": build_decode,
    "load": build_load,
}
