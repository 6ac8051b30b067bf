"""Random models on the device, and what each engine does with them. Called by gpu; imports torch."""

import gc
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from whisper.decoding import DecodingOptions
from whisper.model import ModelDimensions, Whisper

from tests.bench.harness import OURS, BenchError, Sample, Side
from tests.bench.roofline import Rates, find_ceiling
from worker.engine import gpu, loading
from worker.engine.batched import Encoder
from worker.engine.decoding import Decoder, Request

SPEED, STEP = "windows a second", "ms a token"
ONE_BY_ONE = "openai-whisper, one after the other"
SAME_BATCH = "openai-whisper, the same batch"
ROOFLINE = "roofline of this device"
SEQUENTIAL_WINDOWS = 2
DTYPES = {"cuda": torch.float16, "cpu": torch.float32}


@dataclass(frozen=True)
class Scale:
    """How much is done. The smaller one lets a machine without a GPU run every line."""

    tokens: int = 100
    batches: tuple[int, ...] = (64, 16)
    product: int = 8192
    copied_bytes: int = 1 << 32
    warm_ups: int = 3
    rounds: int = 7
    loads: int = 3
    record: Callable[[gpu.Work], gpu.Work] = field(default=gpu.record_graph)


TOY = Scale(5, (3, 2), product=64, copied_bytes=1 << 16, warm_ups=2, rounds=2, loads=1, record=gpu.play_at_once)


@dataclass(frozen=True)
class Stage:
    """One shape on one device."""

    dims: ModelDimensions
    device: torch.device
    scale: Scale
    theirs: Any
    """As `whisper.load_model` leaves it: single precision, cast as it goes."""
    ours: Any

    @property
    def dtype(self) -> Any:
        return DTYPES[self.device.type]

    def make_mels(self, rows: int) -> Any:
        """Spectrograms, the same every time."""
        chance = torch.Generator(device=self.device).manual_seed(rows)
        mels = torch.randn((rows, self.dims.n_mels, 3000), generator=chance, device=self.device)
        return mels.to(self.dtype)


def build_stage(dims: ModelDimensions, device: torch.device, scale: Scale) -> Stage:
    """Random weights drawn on the device; nothing is read and nothing downloaded."""
    torch.manual_seed(7)
    with device:
        model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.01)
    theirs = model.eval().requires_grad_(requires_grad=False)
    return Stage(dims, device, scale, theirs, loading._place(deepcopy(theirs), device))


def wait_for(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free(device: torch.device) -> None:
    """What no one holds any more."""
    gc.collect()
    gpu.forget_cache(device)


def measure_rates(device: torch.device, scale: Scale) -> Rates:
    """The best of some large products and some reads, each alone."""
    left = torch.ones((scale.product, scale.product), device=device, dtype=DTYPES[device.type])
    multiplying = min(_time(lambda: left @ left, device) for _ in range(10))
    source = torch.zeros(scale.copied_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copying = min(_time(lambda: target.copy_(source), device) for _ in range(10))
    return Rates(2 * scale.product**3 / multiplying, 2 * scale.copied_bytes / copying)


def build_batch_sides(stage: Stage, rows: int) -> dict[str, Side]:
    """The same windows to as many tokens each."""
    mels, tokens = stage.make_mels(rows), stage.scale.tokens
    options = DecodingOptions(language="en", sample_len=tokens, fp16=stage.dtype == torch.float16)

    def one_by_one(some: Any) -> list[int]:
        return [len(stage.theirs.decode(mel, options).tokens) for mel in some]

    def at_once(some: Any) -> list[int]:
        return [len(one.tokens) for one in stage.theirs.decode(some, options)]

    return {
        OURS: partial(_count_speed, stage, build_ours(stage), mels),
        ONE_BY_ONE: partial(_count_speed, stage, one_by_one, mels[:SEQUENTIAL_WINDOWS]),
        SAME_BATCH: partial(_count_speed, stage, at_once, mels),
    }


def build_ours(stage: Stage) -> Callable[[Any], list[int]]:
    """The worker's engine, with its recorded steps."""
    decoder = build_decoder(stage)
    encoder = Encoder(stage.ours, stage.dtype)

    def decode(mels: Any) -> list[int]:
        features = encoder.encode(list(mels), range(len(mels)))
        return [len(one.tokens) for one in decoder.decode_once(features, range(len(mels)), 0.0)]

    return decode


def build_decoder(stage: Stage) -> Decoder:
    """With memory and recordings of its own."""
    request = Request("en", sample_len=stage.scale.tokens)
    return Decoder(stage.ours, gpu.BucketLoop(stage.scale.record), request, stage.dtype)


def build_roofline(stage: Stage, rows: int) -> Side:
    """The ceiling by the rates of this very moment."""

    def look() -> Sample:
        rates = measure_rates(stage.device, stage.scale)
        return Sample({SPEED: find_ceiling(stage.dims, rows, stage.scale.tokens, rates)}, [stage.scale.tokens])

    return look


def build_step_sides(stage: Stage) -> dict[str, Side]:
    """One window whose sound is encoded already: what a token takes."""
    tokens = stage.scale.tokens
    options = DecodingOptions(language="en", sample_len=tokens, fp16=stage.dtype == torch.float16)
    decoder = build_decoder(stage)
    features = Encoder(stage.ours, stage.dtype).encode(list(stage.make_mels(1)), [0])

    def ours(_: Any) -> list[int]:
        return [len(decoder.decode_once(features, [0], 0.0)[0].tokens)]

    def theirs(_: Any) -> list[int]:
        return [len(stage.theirs.decode(features[0], options).tokens)]

    return {OURS: partial(_count_step, stage, ours), "openai-whisper": partial(_count_step, stage, theirs)}


def build_transformers_sides(stage: Stage, rows: int) -> Mapping[str, Side]:
    """Hugging Face's model of the same shape, without timestamp rules; {} where it is not installed."""
    try:
        from transformers import GenerationMixin, WhisperConfig, WhisperForConditionalGeneration
    except ImportError:
        return {}
    with stage.device:
        model = WhisperForConditionalGeneration(_build_config(WhisperConfig, stage.dims)).to(stage.dtype).eval()
    mels, tokens = stage.make_mels(rows), stage.scale.tokens
    start = torch.tensor([[50258, 50259, 50359]], device=stage.device).expand(rows, -1)

    def generate(_: Any, **more: Any) -> list[int]:
        with torch.inference_mode():
            found = GenerationMixin.generate(
                model,
                input_features=mels,
                decoder_input_ids=start,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                do_sample=False,
                **more,
            )
        return [found.shape[1] - start.shape[1]] * rows

    return {
        "transformers, SDPA, dynamic cache": partial(_count_speed, stage, generate, mels),
        "transformers, SDPA, static cache, compiled": partial(
            _count_speed, stage, partial(generate, cache_implementation="static"), mels
        ),
    }


def _build_config(kind: Any, dims: ModelDimensions) -> Any:
    return kind(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        encoder_attention_heads=dims.n_audio_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_layers=dims.n_text_layer,
        decoder_attention_heads=dims.n_text_head,
        decoder_ffn_dim=4 * dims.n_text_state,
        attn_implementation="sdpa",
    )


def _count_speed(stage: Stage, decode: Callable[[Any], list[int]], mels: Any) -> Sample:
    seconds, lengths = _time_with(decode, mels, stage.device)
    return Sample({SPEED: len(mels) / seconds}, sorted(set(lengths)))


def _count_step(stage: Stage, decode: Callable[[Any], list[int]]) -> Sample:
    seconds, lengths = _time_with(decode, None, stage.device)
    return Sample({STEP: 1000 * seconds / lengths[0]}, lengths)


def _time_with(decode: Callable[[Any], list[int]], mels: Any, device: torch.device) -> tuple[float, list[int]]:
    lengths: list[int] = []
    seconds = _time(lambda: lengths.extend(decode(mels)), device)
    if not lengths:
        raise BenchError("no tokens")
    return seconds, lengths


def _time(work: Callable[[], Any], device: torch.device) -> float:
    wait_for(device)
    began_at = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - began_at
