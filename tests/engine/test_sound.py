"""Sound that is still coming, and long sound: windows at once, whisper's spectrogram to the last bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from whisper import audio

from tests.engine.test_batched import a_task
from tests.support.engine_models import load_samples
from tests.support.worker_fakes import a_sound
from worker.engine import mel
from worker.engine.door import Engine
from worker.errors import UnreadableMediaError
from worker.sound import Sound


@pytest.fixture
def speech() -> np.ndarray:
    return load_samples("sample-90s.opus")


class Coming(Sound):
    """It goes on when the engine has been heard of."""

    def __init__(self, path: Path, samples: np.ndarray) -> None:
        super().__init__(path, samples.nbytes)
        self._rest: Iterator[bytes] = (samples[at : at + 40 * 16000].tobytes() for at in range(0, len(samples), 640000))
        self.sizes: list[float] = []
        self.go_on()

    def go_on(self, _seconds: float = 0.0) -> None:
        self.sizes.append(self.seconds)
        content = next(self._rest, None)
        if content is None:
            self.finish()
        else:
            self.append(content)


def test_a_window_is_decoded_while_the_rest_is_still_to_come(demo: Any, speech: np.ndarray, tmp_path: Path) -> None:
    sound = Coming(tmp_path / "sound", speech)
    found = Engine(demo, 1).transcribe(sound, a_task(), sound.go_on)
    assert sound.sizes[1] == 40, "the first window was announced when there were 40 of 90 s"
    wanted = Engine(demo, 1).transcribe(a_sound(speech.tobytes()), a_task(), lambda _: None)
    assert (found["text"], len(found["segments"])) == (wanted["text"], len(wanted["segments"]))


def test_the_error_of_the_sound_ends_the_run(demo: Any, speech: np.ndarray, tmp_path: Path) -> None:
    sound = Sound(tmp_path / "sound", speech.nbytes)
    sound.append(speech[: 50 * 16000].tobytes())
    with pytest.raises(UnreadableMediaError, match="damaged"):
        Engine(demo, 1).transcribe(sound, a_task(), lambda _: sound.fail(UnreadableMediaError("damaged")))


@pytest.mark.parametrize("rest", [0, 1, 159, 160, 399, 400])
def test_the_spectrogram_is_whispers_when_it_is_made_in_pieces(
    rest: int, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mel, "PIECE_FRAMES", 1000)
    samples = speech[: 30 * 16000 + rest]
    found = mel.LongMel(a_sound(samples.tobytes()), 80, audio.N_SAMPLES)
    wanted = audio.log_mel_spectrogram(mel.to_wave(samples), 80, padding=audio.N_SAMPLES)
    assert torch.equal(found.tensor, wanted)
    found.forget()
    assert torch.equal(found.tensor, wanted)
