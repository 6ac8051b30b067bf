"""Whisper's loop, kept at any window and taken up again: each later window sees what it would have seen."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.worker_fakes import FakeClock, FakeKeeper
from worker.checkpoint import Checkpoints
from worker.continuation import Continuation

WINDOW = 3000
WINDOWS = 6
INITIAL = [900, 901]


class StoppedError(Exception):
    pass


class Loop:
    """Whisper's loop as `transcribe` has it; a window's words depend on all that it is told."""

    def __init__(self, hot: set[int], wordless: set[int], silent: set[int]) -> None:
        self.hot, self.wordless, self.silent = hot, wordless, silent

    def run(self, keeper: FakeKeeper, stop_before: int | None = None) -> dict[str, Any]:
        checkpoints = Checkpoints(keeper, "key", FakeClock())
        checkpoints.open("work")
        continuation = Continuation(checkpoints, lambda segment: segment)
        options = continuation.change({"language": None, "initial_prompt": INITIAL})
        seek = round(options.get("clip_timestamps", [0.0])[0] * 100)
        initial = options["initial_prompt"] or []
        tokens, segments, reset, last = list(initial), [], 0, 0.0
        while seek < WINDOWS * WINDOW:
            loop = {
                "all_tokens": tokens,
                "all_segments": segments,
                "prompt_reset_since": reset,
                "seek": seek,
                "language": options["language"] or "en",
                "last_speech_timestamp": last,
            }
            continuation.keep(loop)
            number = seek // WINDOW
            if number == stop_before:
                checkpoints.flush()
                raise StoppedError
            heard = (number, tuple(continuation.add_prompt(tokens[reset:])), continuation.find_last_speech(last))
            said = [] if number in self.wordless else [10 * number, 10 * number + 1]
            seek += WINDOW
            if number in self.silent:
                continue
            last = seek / 100 if said else last
            segments.append({"id": len(segments), "tokens": said, "heard": heard})
            tokens += said
            if number in self.hot:
                reset = len(tokens)
                continuation.forget_prompt()
        result = {"text": str(tokens[len(initial) :]), "segments": segments, "language": options["language"] or "en"}
        return continuation.join(result, str)


NUMBERS = st.sets(st.integers(0, WINDOWS - 1))


@settings(max_examples=100, deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, st.lists(st.integers(1, WINDOWS - 1)))
def test_the_transcript_is_the_same_whenever_it_is_stopped(
    hot: set[int], wordless: set[int], silent: set[int], stops: list[int]
) -> None:
    loop, keeper = Loop(hot, wordless, silent), FakeKeeper()
    undisturbed = Loop(hot, wordless, silent).run(FakeKeeper())
    for stop in sorted(stops):
        with pytest.raises(StoppedError):
            loop.run(keeper, stop)
    resumed = loop.run(keeper)
    for segment in resumed["segments"]:
        number, prompt, last = segment["heard"]
        segment["heard"] = (number, tuple(prompt), last)
    assert resumed == undisturbed


def test_nothing_is_kept_before_the_first_window_is_done() -> None:
    keeper = FakeKeeper()
    with pytest.raises(StoppedError):
        Loop(set(), set(), set()).run(keeper, 0)
    assert keeper.files == {}
