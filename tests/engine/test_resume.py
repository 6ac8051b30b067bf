"""A pod that is killed at any window costs that window: the next one's transcript is that of an undisturbed run."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.engine_models import MODELS
from tests.support.worker_fakes import FakeClock, FakeKeeper, a_sound, a_task
from worker.checkpoint import Checkpoints, State
from worker.engine import Engine


class KilledError(Exception):
    pass


class Deadly(Checkpoints):
    """Kills the run at the first window that is kept, when that is safely stored."""

    def save(self, state: State) -> None:
        super().save(state)
        self.flush()
        raise KilledError


@pytest.fixture(scope="session")
def samples() -> np.ndarray:
    """Speech, noise that whisper is not sure of, silence, and more speech."""
    speech = _decode(MODELS / "sample-90s.opus")
    noise = np.random.default_rng(7).normal(0, 4000, 40 * 16000).astype(np.int16)
    return np.concatenate([speech[: 50 * 16000], noise, np.zeros(45 * 16000, np.int16), speech[50 * 16000 :]])


def _decode(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", "16000", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<i2")


def said(transcript: dict[str, Any]) -> list[Any]:
    """What was said when. Probabilities are left out: the same sums may differ in their tenth digit."""
    words = [
        [(w["word"], w["start"], w["end"]) for w in segment.get("words", [])] for segment in transcript["segments"]
    ]
    names = ("id", "seek", "start", "end", "text", "tokens", "temperature")
    return [
        transcript["text"],
        transcript["language"],
        *({name: segment.get(name) for name in names} for segment in transcript["segments"]),
        *words,
    ]


def some_checkpoints(kind: type[Checkpoints], keeper: FakeKeeper) -> Checkpoints:
    checkpoints = kind(keeper, "key", FakeClock())
    checkpoints.open("work")
    return checkpoints


def transcribe(model: Any, samples: np.ndarray, checkpoints: Checkpoints | None, **changes: Any) -> dict[str, Any]:
    engine = Engine(model, 1)
    found = engine.transcribe(a_sound(samples.tobytes()), a_task(**changes), lambda _: None, checkpoints=checkpoints)
    del found["figures"]
    return found


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"engine": "quality"}, id="quality"),
        pytest.param({"engine": "batched"}, id="batched"),
        pytest.param(
            {"engine": "quality", "initial_prompt": "The doctor called about the invoice."},
            id="prompt",
            marks=pytest.mark.soak,
        ),
        pytest.param({"engine": "quality", "word_timestamps": True}, id="quality words", marks=pytest.mark.soak),
        pytest.param({"engine": "batched", "word_timestamps": True}, id="batched words", marks=pytest.mark.soak),
    ],
)
def test_the_transcript_is_the_same_when_the_run_is_killed_at_each_window(
    demo: Any, samples: np.ndarray, changes: dict[str, Any]
) -> None:
    undisturbed = transcribe(demo, samples, None, **changes)
    keeper, kills, finished = FakeKeeper(), 0, None
    while finished is None:
        try:
            finished = transcribe(demo, samples, some_checkpoints(Deadly, keeper), **changes)
        except KilledError:
            kills += 1
    assert kills >= 5
    assert said(finished) == said(undisturbed)


def test_the_words_are_those_of_whisper_itself_when_every_window_is_kept(demo: Any, samples: np.ndarray) -> None:
    wave = samples[: 50 * 16000].astype(np.float32) / 32768
    theirs = demo.transcribe(wave, fp16=False, language="en")
    ours = transcribe(
        demo, samples[: 50 * 16000], some_checkpoints(Checkpoints, FakeKeeper()), engine="quality", language="en"
    )
    assert ours["text"] == theirs["text"]
