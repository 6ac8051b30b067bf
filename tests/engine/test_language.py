"""Which language a file is in, from several places of it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from whisper.tokenizer import get_tokenizer

from worker.engine.language import choose, detect, spread
from worker.windows import Window

TOKENIZER = get_tokenizer(True, num_languages=99)
PLACES = dict(zip(TOKENIZER.all_language_codes, TOKENIZER.all_language_tokens, strict=True))


class FakeModel:
    """Hears what each window is said to hold."""

    device, is_multilingual, num_languages = torch.device("cpu"), True, 99

    def __init__(self, *heard: Mapping[str, float]) -> None:
        self._heard = heard

    def logits(self, tokens: Any, _features: Any) -> Any:
        assert tokens.tolist() == [[TOKENIZER.sot]] * len(self._heard)
        scores = torch.full((len(self._heard), 1, 51865), -20.0)
        for row, shares in zip(scores, self._heard, strict=True):
            for code, share in shares.items():
                row[0, PLACES[code]] = float(np.log(share))
        return scores


def hear(*heard: Mapping[str, float]) -> dict[str, float]:
    remembered: list[int] = []
    encoder: Any = SimpleNamespace(
        measure=lambda windows: [None] * len(windows),
        encode=lambda mels, _seeks: torch.zeros(len(mels), 1),
        remember=lambda windows, _: remembered.extend(window.start for window in windows),
    )
    windows = [Window(number * 3000, np.zeros(480_000, np.int16), 3000) for number in range(len(heard))]
    found = detect(FakeModel(*heard), encoder, windows)
    assert remembered == [window.start for window in windows], "they need not be encoded again"
    return found


def test_a_foreign_greeting_does_not_decide() -> None:
    found = hear({"fr": 0.95, "en": 0.05}, {"en": 0.7, "fr": 0.3}, {"en": 0.9, "de": 0.1})
    assert choose(found, ()) == "en"
    assert found["en"] == pytest.approx((0.05 + 0.7 + 0.9) / 3, abs=1e-3)
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)


def test_one_of_the_options_is_taken() -> None:
    found = hear({"nn": 0.6, "da": 0.1, "no": 0.3})
    assert choose(found, ()) == "nn"
    assert choose(found, ("no", "da")) == "no"
    assert choose(found, ("haw",)) == "haw"


@pytest.mark.parametrize(
    ("count", "wanted"), [(0, []), (1, [0]), (5, [0, 1, 2, 3, 4]), (6, [0, 1, 2, 4, 5]), (101, [0, 25, 50, 75, 100])]
)
def test_places_are_spread_over_the_file(count: int, wanted: list[int]) -> None:
    assert spread(range(count)) == wanted
