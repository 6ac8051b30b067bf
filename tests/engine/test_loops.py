"""What a GPU asks of a step: nothing to wait for and the same memory every time; a tape stands in for its graphs."""

from typing import Any

import pytest
import torch

from tests.support.engine_models import CPU, a_listening_model, make_noises
from tests.support.tape import Work, counted_waits, record_tape
from worker.engine.decoding import Decoder, Request
from worker.engine.gpu import BucketLoop, StepLoop, choose_loop, find_dtype, play_at_once
from worker.engine.mel import measure_windows

STEPS = 70


@pytest.fixture(scope="module")
def model() -> Any:
    return a_listening_model(1, likely_end=0)


@pytest.fixture(scope="module")
def features(model: Any) -> Any:
    with torch.inference_mode():
        return model.encoder(measure_windows(make_noises(3), 80, CPU, torch.float32))


def decode(model: Any, features: Any, loop: Any, temperature: float = 0.0) -> list[Any]:
    decoder = Decoder(model, loop, Request("en", sample_len=STEPS), torch.float32)
    return decoder.decode_once(features, range(len(features)), temperature)


def test_rows_are_looked_at_every_eighth_step_only(model: Any, features: Any) -> None:
    with counted_waits() as short:
        Decoder(model, BucketLoop(play_at_once), Request("en", sample_len=2), torch.float32).decode_once(
            features, range(3), 0.0
        )
    with counted_waits() as long:
        decode(model, features, BucketLoop(play_at_once))
    assert long.count("__int__") - short.count("__int__") == (STEPS - 1) // BucketLoop.check_every


def test_steps_are_recorded_once_for_each_length(model: Any, features: Any) -> None:
    recorded: list[Work] = []

    def record(work: Work) -> Work:
        recorded.append(work)
        return record_tape(work)

    loop = BucketLoop(record)
    decoder = Decoder(model, loop, Request("en", sample_len=STEPS), torch.float32)
    first = decoder.decode_once(features, range(3), 0.0)
    count = len(recorded)
    assert count == 2, "64 places, then all that there are"
    assert decoder.decode_once(features, range(3), 0.0) == first
    assert len(recorded) == count, "the second batch plays the same back"
    other = decoder.decode_once(features.flip(0), range(3), 0.0)
    assert [row.tokens for row in other] == [row.tokens for row in first][::-1]
    loop.forget()
    decoder.decode_once(features, range(3), 0.0)
    assert len(recorded) == 2 * count


def test_the_memory_of_few_batches_is_kept(model: Any, features: Any) -> None:
    loop, rows = BucketLoop(record_tape), features[:1].expand(20, -1, -1)
    decoder = Decoder(model, loop, Request("en", sample_len=4), torch.float32)
    for size in (16, 8, 16, 4, 2, 1, 16):
        found = decoder.decode_once(rows[:size], range(size), 0.0)
        assert {row.tokens for row in found} == {found[0].tokens}
    assert [rows for rows, _ in loop._sessions] == [2, 1, 16]
    assert {step[0] for step in loop._steps} == set(loop._sessions.values()), "nor are recordings"


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_both_loops_write_the_same(model: Any, features: Any, temperature: float) -> None:
    wanted = [row.tokens for row in decode(model, features, StepLoop(), temperature)]
    assert [row.tokens for row in decode(model, features, BucketLoop(record_tape), temperature)] == wanted


def test_a_gpu_gets_graphs_and_half_precision() -> None:
    gpu = torch.device("cuda")
    assert isinstance(choose_loop(gpu), BucketLoop)
    assert isinstance(choose_loop(CPU), StepLoop)
    assert (find_dtype(gpu), find_dtype(CPU)) == (torch.float16, torch.float32)
