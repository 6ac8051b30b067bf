"""What the GPU's benches decide before and beside the GPU."""

from types import SimpleNamespace

import pytest

from tests.bench import gpu
from tests.bench.figures import at_least
from tests.bench.harness import OURS, Bench, Sample, measure
from tests.bench.roofline import Rates, count_operations, count_step_bytes, find_ceiling

LARGE = SimpleNamespace(
    n_mels=128,
    n_vocab=51866,
    n_audio_ctx=1500,
    n_audio_state=1280,
    n_audio_layer=32,
    n_text_state=1280,
    n_text_layer=32,
)
H200 = Rates(790e12, 4.8e12)


def test_the_work_of_a_window_is_that_of_large_v3_when_counted_by_hand() -> None:
    assert count_operations(LARGE) == pytest.approx((2.274 + 0.315) * 1e12, rel=0.002)
    assert count_step_bytes(LARGE, 64, 100) == pytest.approx(17.90e9, rel=0.002)


@pytest.mark.parametrize(("rows", "factor"), [(1, 715), (16, 2812), (64, 3296)])
def test_the_ceiling_nears_the_encoder_s_when_the_batch_grows(rows: int, factor: float) -> None:
    assert 30 * find_ceiling(LARGE, rows, 100, H200) == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize(("seconds", "rounds"), [(1, 7), (20, 5), (90, 3)])
def test_pairs_are_fewer_when_time_is_short(seconds: float, rounds: int) -> None:
    assert gpu.choose_rounds(seconds, 100, 7) == rounds


def test_a_peer_is_left_out_and_named_when_it_does_not_run() -> None:
    notes: list[str] = []

    def fail() -> Sample:
        raise RuntimeError("no compiler")

    sides = gpu.drop_failing({OURS: lambda: Sample({}, 1), "peer": fail}, notes)
    assert list(sides) == [OURS]
    assert notes == ["peer: not measured: RuntimeError('no compiler')"]
    with pytest.raises(RuntimeError):
        gpu.drop_failing({OURS: fail}, notes)


def test_each_peer_has_its_own_goal_when_a_bench_says_so() -> None:
    sides = {name: lambda: Sample({"speed": 6.0}, 1) for name in (OURS, "first", "second", "third")}
    bench = Bench("b", "t", sides, {"speed": at_least(2)}, rounds=1, peer_goals={"second": {"speed": at_least(1)}})
    assert [row.is_missed for row in measure(bench).rows()] == [True, False, False]
    assert [str(row.goal) for row in measure(bench).rows()] == ["≥ 2", "≥ 1", "None"]
