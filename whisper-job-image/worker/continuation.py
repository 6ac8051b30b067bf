"""How whisper's sequential loop is kept and taken up again, so that its words are those of an undisturbed run.

Used by the engine around whisper's `transcribe`. Each window depends on what came before by four things alone: where it
begins, the language, the tokens before it, and when the last word was said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.checkpoint import Checkpoints, State

FRAMES_PER_SECOND = 100
NEEDED = ("language", "prompt", "last_speech")
MOST_PROMPT_TOKENS = 448
"""More than any window takes of what was said before."""


class Continuation:
    """One run of the loop, from its beginning or from a checkpoint."""

    def __init__(self, checkpoints: Checkpoints | None, to_plain: Callable[[Any], Any]) -> None:
        self._checkpoints = checkpoints
        self._to_plain = to_plain
        found = checkpoints.load(*NEEDED) if checkpoints else None
        self._begin = found or State(0.0, [], {})
        self.is_resumed = found is not None
        self._earlier = list(self._begin.segments)
        self._own: list[dict[str, Any]] = []
        self._carried: list[int] = self._begin.engine.get("prompt", [])

    @property
    def first_frame(self) -> int:
        return round(self._begin.seek_seconds * FRAMES_PER_SECOND)

    def change(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of whisper's `transcribe`; the initial prompt was heard at the beginning."""
        if not self.is_resumed:
            return dict(options)
        begin = [self._begin.seek_seconds]
        language = self._begin.engine["language"]
        return {**options, "language": language, "initial_prompt": None, "clip_timestamps": begin}

    def add_prompt(self, tokens: Sequence[int]) -> list[int]:
        """What was said before, with what an earlier pod has heard of it."""
        return [*self._carried, *tokens]

    def forget_prompt(self) -> None:
        """Whisper does so after a window that it was not sure of."""
        self._carried = []

    def find_last_speech(self, seconds: float) -> float:
        """When the last word ended, also when an earlier pod heard it."""
        return seconds or self._begin.engine.get("last_speech", 0.0)

    def keep(self, loop: Mapping[str, Any]) -> None:
        """A window begins: `loop` has the variables of whisper's loop as they are then."""
        self._take(loop["all_segments"])
        prompt = self.add_prompt(loop["all_tokens"][loop["prompt_reset_since"] :])[-MOST_PROMPT_TOKENS:]
        last_speech = float(self.find_last_speech(loop["last_speech_timestamp"]))
        engine = {"language": loop["language"], "prompt": prompt, "last_speech": last_speech}
        if self._checkpoints and loop["seek"] > self.first_frame:
            state = State(loop["seek"] / FRAMES_PER_SECOND, self._earlier + self._own, engine)
            self._checkpoints.save(state)

    def join(self, result: Mapping[str, Any], decode: Callable[[list[int]], str]) -> dict[str, Any]:
        """Whisper's result, with what was there before it."""
        if not self.is_resumed:
            return dict(result)
        self._take(result["segments"])
        segments = self._earlier + self._own
        text = decode([token for segment in segments for token in segment["tokens"]])
        return {**result, "text": text, "segments": segments}

    def _take(self, segments: Sequence[dict[str, Any]]) -> None:
        for segment in segments[len(self._own) :]:
            number = len(self._earlier) + len(self._own)
            self._own.append(self._to_plain({**segment, "id": number}))
