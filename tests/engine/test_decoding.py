"""The gate: no speed counts before the tokens are whisper's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from whisper import audio
from whisper.decoding import DecodingOptions, DecodingTask

from tests.support.engine_models import CPU, a_listening_model, load_samples, make_noises
from tests.support.tape import record_tape
from worker.engine.decoding import Decoder, Request
from worker.engine.gpu import BucketLoop, Loop, StepLoop
from worker.engine.mel import measure_windows

NEAR_TIE = 1e-4
LOOPS = {"steps": StepLoop, "recorded buckets": lambda: BucketLoop(record_tape)}


@pytest.fixture(params=sorted(LOOPS))
def loop(request: pytest.FixtureRequest) -> Loop:
    build: Callable[[], Loop] = LOOPS[request.param]
    return build()


def speech_windows() -> list[np.ndarray]:
    """Eight different windows of the samples; some cut through words."""
    long = np.concatenate([load_samples("sample-90s.opus"), load_samples("sample-25s.flac")])
    return [
        *(long[start * 16000 :][: 30 * 16000] for start in (0, 13, 30, 47, 60, 85, 100)),
        load_samples("sample-5s.flac"),
    ]


def count_near_ties(model: Any, mels: Any, ours: list[Any], options: DecodingOptions) -> int:
    """Windows whose tokens differ; AssertionError where they do so for another reason than a near tie."""
    ties = 0
    for mel, mine in zip(mels, ours, strict=True):
        theirs = model.decode(mel, options)
        if list(mine.tokens) != theirs.tokens:
            pairs = enumerate(zip(mine.tokens, theirs.tokens, strict=False))
            same = theirs.tokens[: next((i for i, pair in pairs if pair[0] != pair[1]), None)]
            gap = measure_gap(model, mel, same, options)
            assert gap <= NEAR_TIE, f"token {len(same)} differs, where the best two are {gap} apart"
            ties += 1
            continue
        assert mine.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
        assert mine.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-5)
        assert (mine.text, mine.temperature, mine.compression_ratio) == (
            theirs.text,
            theirs.temperature,
            theirs.compression_ratio,
        )
    print(f"{ties} of {len(ours)} windows differ at a near tie")  # noqa: T201  # a figure of the gate
    return ties


def measure_gap(model: Any, mel: Any, sampled: list[int], options: DecodingOptions) -> float:
    task = DecodingTask(model, options)
    tokens = torch.tensor([[*task.initial_tokens, *sampled]])
    with torch.no_grad():
        logits = model.logits(tokens, model.encoder(mel[None]))[:, -1]
    for rule in task.logit_filters:
        rule.apply(logits, tokens)
    best = logits.topk(2).values[0]
    return float(best[0] - best[1])


def decode_greedily(model: Any, loop: Loop, mels: Any, request: Request) -> list[Any]:
    with torch.inference_mode():
        features = model.encoder(mels)
    return Decoder(model, loop, request, torch.float32).decode_once(features, range(len(mels)), 0.0)


@pytest.mark.parametrize("prompt", [None, "Hello and welcome to the party."])
def test_tokens_are_whispers_own(demo: Any, loop: Loop, prompt: str | None) -> None:
    windows = speech_windows() if isinstance(loop, StepLoop) else speech_windows()[4:]  # a tape is slow
    mels = measure_windows(windows, 80, CPU, torch.float32)
    found = decode_greedily(demo, loop, mels, Request("en", initial_prompt=prompt))
    options = DecodingOptions(language="en", prompt=prompt, fp16=False)
    assert count_near_ties(demo, mels, found, options) == 0
    assert len({len(row.tokens) for row in found}) > 2


def test_tokens_without_timestamps_are_whispers_own(demo: Any, loop: Loop) -> None:
    mels = measure_windows(speech_windows()[4:], 80, CPU, torch.float32)
    found = decode_greedily(demo, loop, mels, Request("en", without_timestamps=True))
    options = DecodingOptions(language="en", without_timestamps=True, fp16=False)
    assert count_near_ties(demo, mels, found, options) == 0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("without_timestamps", [False, True])
def test_tokens_are_whispers_own_for_random_weights(loop: Loop, seed: int, without_timestamps: bool) -> None:
    random_model = a_listening_model(seed)
    mels = measure_windows([*make_noises(4), *speech_windows()[6:]], 80, CPU, torch.float32)
    wanted = {"language": "de", "task": "translate", "sample_len": 40, "without_timestamps": without_timestamps}
    found = decode_greedily(random_model, loop, mels, Request(**wanted))
    assert count_near_ties(random_model, mels, found, DecodingOptions(**wanted, fp16=False)) <= 1
    assert len({row.tokens for row in found}) > 3


@pytest.mark.parametrize("shape", ["tiny", pytest.param("base", marks=pytest.mark.soak)])
def test_tokens_are_whispers_own_in_whispers_shapes(request: pytest.FixtureRequest, loop: Loop, shape: str) -> None:
    random_model = request.getfixturevalue(shape)
    mels = measure_windows(make_noises(2), 80, CPU, torch.float32)
    found = decode_greedily(random_model, loop, mels, Request("de", task="translate", sample_len=24))
    options = DecodingOptions(language="de", task="translate", sample_len=24, fp16=False)
    assert count_near_ties(random_model, mels, found, options) <= 1


@pytest.mark.soak
def test_a_text_as_long_as_whisper_allows_is_whispers_own(tiny: Any, loop: Loop) -> None:
    mels = measure_windows(make_noises(1), 80, CPU, torch.float32)
    found = decode_greedily(tiny, loop, mels, Request("en", initial_prompt="word " * 300))
    options = DecodingOptions(language="en", prompt="word " * 300, fp16=False)
    assert count_near_ties(tiny, mels, found, options) == 0
    assert len(found[0].tokens) > 200


def test_the_spectrogram_is_whispers_own() -> None:
    windows = [load_samples("sample-25s.flac"), load_samples("sample-5s.flac")[:70001]]
    for mel, samples in zip(measure_windows(windows, 80, CPU, torch.float32), windows, strict=True):
        whole = audio.log_mel_spectrogram(samples.astype(np.float32) / 32768, 80, padding=audio.N_SAMPLES)
        frames = whole.shape[1] - audio.N_FRAMES
        assert torch.allclose(mel, audio.pad_or_trim(whole[:, :frames], audio.N_FRAMES), atol=1e-6, rtol=0)
