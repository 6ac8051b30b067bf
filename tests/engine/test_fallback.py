"""Second tries: few, for the rows that need them, and the same whatever else is in the batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.support.engine_models import CPU, a_listening_model, make_noises
from worker.engine.decoding import HIGHER_TEMPERATURES, Decoder, Request
from worker.engine.gpu import StepLoop
from worker.engine.mel import measure_windows
from worker.quality import Decoded

GOOD = Decoded((1, 2), "fine", 0.0, -0.2, 1.1, 0.01)
UNSURE, LOOPING = replace(GOOD, avg_logprob=-1.5), replace(GOOD, compression_ratio=9.0)
SILENT = replace(UNSURE, no_speech_prob=0.9)


class ScriptedDecoder(Decoder):
    """Each row's tries are told beforehand."""

    def __init__(self, *rows: Sequence[Decoded]) -> None:
        self._rows = rows
        self.tries: list[tuple[float, list[int]]] = []

    def decode_once(self, features: Any, seeds: Sequence[int], temperature: float) -> list[Decoded]:
        assert features.tolist() == list(seeds)
        self.tries.append((temperature, list(seeds)))
        number = (0.0, *HIGHER_TEMPERATURES).index(temperature)
        return [replace(self._rows[seed][number], temperature=temperature) for seed in seeds]

    def run(self) -> list[Decoded]:
        return self.decode(torch.arange(len(self._rows)), range(len(self._rows)))


def test_only_failing_rows_are_tried_again() -> None:
    decoder = ScriptedDecoder([GOOD], [UNSURE, GOOD], [SILENT], [LOOPING, LOOPING, GOOD])
    found = decoder.run()
    assert decoder.tries == [(0.0, [0, 1, 2, 3]), (0.4, [1, 3]), (0.8, [3])]
    assert [row.temperature for row in found] == [0.0, 0.4, 0.0, 0.8]
    assert [row.guards for row in found] == [(), ("temperature_fallback",), (), ("temperature_fallback",)]


def test_tries_end_where_all_fail_and_the_best_of_them_is_kept() -> None:
    decoder = ScriptedDecoder([LOOPING, UNSURE, replace(UNSURE, avg_logprob=-1.2)], [UNSURE, LOOPING, LOOPING])
    found = decoder.run()
    assert len(decoder.tries) == 1 + len(HIGHER_TEMPERATURES)
    assert [(row.temperature, row.avg_logprob) for row in found] == [(0.8, -1.2), (0.0, -1.5)]


def test_nothing_is_tried_again_where_all_is_well() -> None:
    decoder = ScriptedDecoder([GOOD], [SILENT])
    decoder.run()
    assert len(decoder.tries) == 1


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_a_row_does_not_depend_on_the_others(temperature: float) -> None:
    model = a_listening_model(1)
    decoder = Decoder(model, StepLoop(), Request("en", sample_len=16), torch.float32)
    with torch.inference_mode():
        features = model.encoder(measure_windows(make_noises(3), 80, CPU, torch.float32))
    together = decoder.decode_once(features, [5, 6, 7], temperature)
    alone = [decoder.decode_once(features[[i]], [5 + i], temperature)[0] for i in range(3)]
    assert [row.tokens for row in together] == [row.tokens for row in alone]
    if temperature:
        assert decoder.decode_once(features, [15, 16, 17], temperature) != together, "another seed, another text"
