"""Whisper's rules for the next token, for all rows of a batch at once and without waiting for the device.

The same as its SuppressBlank, SuppressTokens and ApplyTimestampRules, which go row by row. Called by `engine.decoding`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from whisper.decoding import DecodingOptions, DecodingTask

NEVER = float("-inf")


@dataclass
class Trail:
    """What the rules need to know of the tokens so far, a value a row."""

    ends_in_stamp: Any
    has_stamp_before: Any
    latest_stamp: Any
    """Counted from <|0.00|>; -1 before the first."""

    @classmethod
    def begin(cls, rows: int, device: torch.device) -> "Trail":
        """Before the first sampled token, which whisper treats as coming after a timestamp."""
        trail = cls(
            torch.zeros(rows, dtype=torch.bool, device=device),
            torch.zeros(rows, dtype=torch.bool, device=device),
            torch.zeros(rows, dtype=torch.long, device=device),
        )
        trail.reset()
        return trail

    def reset(self) -> None:
        self.ends_in_stamp.fill_(False)
        self.has_stamp_before.fill_(True)
        self.latest_stamp.fill_(-1)

    def follow(self, stamps: Any, is_first: bool) -> None:
        """One more token a row: its timestamp, negative for other tokens."""
        if not is_first:
            self.has_stamp_before.copy_(self.ends_in_stamp)
        self.ends_in_stamp.copy_(stamps >= 0)
        self.latest_stamp.copy_(torch.where(self.ends_in_stamp, stamps, self.latest_stamp))

    def keep(self, rows: Any) -> None:
        """Go on with these rows alone."""
        self.ends_in_stamp = self.ends_in_stamp[rows]
        self.has_stamp_before = self.has_stamp_before[rows]
        self.latest_stamp = self.latest_stamp[rows]


class Rules:
    """The rules of one model, language and task."""

    def __init__(self, task: DecodingTask, device: torch.device) -> None:
        tokenizer = task.tokenizer
        self.eot: int = tokenizer.eot
        self.first_stamp: int = tokenizer.timestamp_begin
        self._is_timed = not task.options.without_timestamps
        banned = {*task._get_suppress_tokens(), *([tokenizer.no_timestamps] if self._is_timed else [])}  # noqa: SLF001
        self._banned = torch.tensor(sorted(banned), device=device)
        self._blank = torch.tensor([*tokenizer.encode(" "), tokenizer.eot], device=device)
        self._stamps = torch.arange(task.model.dims.n_vocab - self.first_stamp, device=device)[None]
        seconds_a_stamp = 30 / task.model.dims.n_audio_ctx
        self._last_first_stamp = round(DecodingOptions().max_initial_timestamp / seconds_a_stamp)

    def apply(self, logits: Any, trail: Trail, is_first: bool) -> tuple[Any, Any]:
        """Forbid what may not come next; the log-probabilities before the last rule, and what that one takes off."""
        logits.index_fill_(1, self._banned, NEVER)
        if is_first:
            logits.index_fill_(1, self._blank, NEVER)
        if not self._is_timed:
            return torch.log_softmax(logits, dim=-1), 0.0
        text, stamps = logits[:, : self.first_stamp], logits[:, self.first_stamp :]
        is_pair_open = trail.ends_in_stamp & ~trail.has_stamp_before
        earliest = trail.latest_stamp + torch.where(is_pair_open, 0, 1)
        is_pair_done = trail.ends_in_stamp & trail.has_stamp_before
        stamps.masked_fill_((self._stamps < earliest[:, None]) | is_pair_done[:, None], NEVER)
        text[:, : self.eot].masked_fill_(is_pair_open[:, None], NEVER)
        if is_first:
            text.fill_(NEVER)
            stamps[:, self._last_first_stamp + 1 :].fill_(NEVER)
        return self._prefer_stamps(logits)

    def _prefer_stamps(self, logits: Any) -> tuple[Any, Any]:
        """A timestamp, where all of them together are likelier than any single other token."""
        logprobs = torch.log_softmax(logits, dim=-1)
        together = logprobs[:, self.first_stamp :].logsumexp(dim=-1)
        is_stamp = together > logprobs[:, : self.first_stamp].amax(dim=-1)
        logits[:, : self.first_stamp].masked_fill_(is_stamp[:, None], NEVER)
        return logprobs, torch.where(is_stamp, together, 0.0)


def pick(logits: Any, temperature: float, luck: Any) -> Any:
    """The next token of each row: the likeliest, or by chance, where `luck` says how far up the probabilities to go.

    One number a row makes a row's fate independent of what else is in the batch.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    heights = torch.softmax(logits / temperature, dim=-1).cumsum(dim=-1)
    found = torch.searchsorted(heights, luck[:, None] * heights[:, -1:], right=True)[:, 0]
    return found.clamp_(max=logits.shape[-1] - 1)
