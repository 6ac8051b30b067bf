"""Windows to tokens, many at a time: whisper's greedy decoding, and its second tries for the rows that need them.

Called by `engine.batched`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from whisper.decoding import DecodingOptions, DecodingTask

from worker.engine.gpu import Loop
from worker.engine.rules import Rules
from worker.engine.session import Session
from worker.quality import Decoded, choose_better, compute_ratio, needs_another_try

HIGHER_TEMPERATURES = (0.4, 0.8)
LEAST_SHARE_DONE = 0.25
"""Rows that are done are left out once they are so many: leaving them out moves the caches of the others."""


@dataclass(frozen=True)
class Request:
    """What is the same for all windows of a run."""

    language: str
    task: str = "transcribe"
    initial_prompt: str | None = None
    sample_len: int | None = None
    without_timestamps: bool = False


class Decoder:
    """Whisper's decoding of a batch; one model, language and task."""

    def __init__(self, model: Any, loop: Loop, request: Request, dtype: Any) -> None:
        self._model, self._loop, self._dtype = model, loop, dtype
        options = DecodingOptions(
            task=request.task,
            language=request.language,
            prompt=request.initial_prompt,
            sample_len=request.sample_len,
            without_timestamps=request.without_timestamps,
            fp16=dtype == torch.float16,
        )
        self.task = DecodingTask(model, options)
        self.tokenizer = self.task.tokenizer
        self._rules = Rules(self.task, model.device)
        self._steps = min(self.task.sample_len, self.task.n_ctx - self.task.sample_begin + 1)

    def decode(self, features: Any, seeds: Sequence[int]) -> list[Decoded]:
        """The best of at most three tries for each window; a seed is all the chance there is in a window's text."""
        best = self.decode_once(features, seeds, 0.0)
        for temperature in HIGHER_TEMPERATURES:
            failing = [row for row, found in enumerate(best) if needs_another_try(found)]
            if not failing:
                break
            again = self.decode_once(features[failing], [seeds[row] for row in failing], temperature)
            for row, found in zip(failing, again, strict=True):
                best[row] = choose_better(best[row], found)
        return best

    def decode_once(self, features: Any, seeds: Sequence[int], temperature: float) -> list[Decoded]:
        """One try for each window."""
        with torch.inference_mode():
            session = self._loop.open(self._model, len(features), self.task.sample_begin + self._steps - 1, self._dtype)
            padding = session.rows - len(features)
            padded = torch.cat([features, features[:1].expand(padding, -1, -1)]) if padding else features
            scores = session.begin(padded, self.task, self._draw_luck(seeds, temperature, session))
            silence, languages = self._hear(scores[:, 0])
            session.is_done[len(features) :] = True
            session.take(scores[:, 1], self._rules, temperature, is_first=True)
            session.advance()
            rows, sums = self._finish(session, temperature)
        return [
            self._read(rows[i], sums[i], temperature, silence[i], languages[i] if languages else {})
            for i in range(len(features))
        ]

    def forget(self) -> None:
        """Let go of the memory that is kept between batches."""
        self._loop.forget()

    def _draw_luck(self, seeds: Sequence[int], temperature: float, session: Session) -> Any:
        luck = torch.zeros(session.luck.shape)
        if temperature:
            for row, seed in enumerate(seeds):
                drawn = np.random.default_rng([seed, round(temperature * 10)]).random(luck.shape[1], dtype=np.float32)
                luck[row] = torch.from_numpy(drawn)
        return luck.to(session.device)

    def _finish(self, session: Session, temperature: float) -> tuple[list[list[int]], list[float]]:
        """Steps until every row is done or full; tokens and summed log-probabilities, in the order of the rows."""
        loop, total = self._loop, session.rows
        tokens = torch.full((total, session.tokens.shape[1]), self._rules.eot, device=session.device)
        sums = torch.zeros(total, device=session.device)
        alive = torch.arange(total, device=session.device)
        for step in range(1, self._steps):
            if step % loop.check_every == 0:
                done = int(session.is_done.sum())
                if done == session.rows:
                    break
                if loop.is_shrinking and done >= LEAST_SHARE_DONE * session.rows:
                    tokens[alive], sums[alive] = session.tokens, session.logprob_sums
                    running = torch.nonzero(~session.is_done)[:, 0]
                    alive = alive[running]
                    session.keep(running)
            loop.advance(session, self._rules, temperature)
            session.advance()
        tokens[alive], sums[alive] = session.tokens, session.logprob_sums
        return tokens[:, self.task.sample_begin : session.place + 1].tolist(), sums.tolist()

    def _hear(self, scores: Any) -> tuple[list[float], list[dict[str, float]]]:
        """How likely each window is silence, and each language: both from the first place, as whisper does."""
        silence = scores.softmax(dim=-1)[:, self.tokenizer.no_speech].tolist()
        return silence, read_languages(scores, self.tokenizer) if self._model.is_multilingual else []

    def _read(
        self, tokens: list[int], logprob_sum: float, temperature: float, silence: float, languages: dict[str, float]
    ) -> Decoded:
        tokens = [*tokens, self._rules.eot]
        tokens = tokens[: tokens.index(self._rules.eot)]
        text = self.tokenizer.decode(tokens).strip()
        return Decoded(
            tokens=tuple(tokens),
            text=text,
            temperature=temperature,
            avg_logprob=logprob_sum / (len(tokens) + 1),
            compression_ratio=compute_ratio(text),
            no_speech_prob=silence,
            languages=languages,
        )


def read_languages(scores: Any, tokenizer: Any) -> list[dict[str, float]]:
    """How likely each language is, from the scores after <|startoftranscript|>."""
    tokens, codes = list(tokenizer.all_language_tokens), tokenizer.all_language_codes
    return [dict(zip(codes, row, strict=True)) for row in scores[:, tokens].softmax(dim=-1).tolist()]
