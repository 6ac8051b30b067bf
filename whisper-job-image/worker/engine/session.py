"""One batch on its way through whisper's decoder: the caches, written in place, and the step from token to token.

It goes through the model's own modules and leaves the model as it is. Nothing in a step waits for the device, and every
step works on the same memory, so that a GPU can play it back. Called by `engine.decoding` through a loop.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from whisper.decoding import DecodingTask

from worker.engine.rules import NEVER, Rules, Trail, pick


@dataclass
class Layer:
    """A decoder block with the keys and values of its two attentions: (rows, heads, places, width)."""

    block: Any
    keys: Any
    values: Any
    sound_keys: Any
    sound_values: Any

    def keep(self, rows: Any, places: int) -> None:
        """Go on with these rows alone."""
        for name in ("keys", "values"):
            kept = getattr(self, name)
            smaller = kept.new_empty((len(rows), *kept.shape[1:]))
            smaller[:, :, :places] = kept[rows, :, :places]
            setattr(self, name, smaller)
        self.sound_keys, self.sound_values = self.sound_keys[rows], self.sound_values[rows]


class Session:
    """The memory of a batch of so many rows, and the way from one token to the next."""

    def __init__(self, model: Any, rows: int, places: int, dtype: Any) -> None:
        self.device, self.rows = model.device, rows
        self._decoder, self._dtype = model.decoder, dtype
        dims = model.dims
        self.tokens = torch.zeros((rows, places + 1), dtype=torch.long, device=self.device)
        self.luck = torch.zeros((rows, places + 1), device=self.device)
        self.logprob_sums = torch.zeros(rows, device=self.device)
        self.is_done = torch.zeros(rows, dtype=torch.bool, device=self.device)
        self.place = 0
        """Of the last token written."""
        self._here = torch.zeros(1, dtype=torch.long, device=self.device)
        self._places = torch.arange(places, device=self.device)
        self._trail = Trail.begin(rows, self.device)
        self._heads = dims.n_text_head
        width = dims.n_text_state // dims.n_text_head
        self._layers = [
            Layer(block, *(self._room(width, size) for size in (places, places, dims.n_audio_ctx, dims.n_audio_ctx)))
            for block in self._decoder.blocks
        ]

    def _room(self, width: int, places: int) -> Any:
        # zeros, because what lies beyond the last token is masked, and a masked NaN would still be one
        return torch.zeros((self.rows, self._heads, places, width), dtype=self._dtype, device=self.device)

    def begin(self, features: Any, task: DecodingTask, luck: Any) -> Any:
        """Read sound and prompt; the scores after <|startoftranscript|> and after the last token of the prompt."""
        for layer in self._layers:
            layer.sound_keys.copy_(self._split(layer.block.cross_attn.key(features)))
            layer.sound_values.copy_(self._split(layer.block.cross_attn.value(features)))
        prompt = torch.tensor(task.initial_tokens, device=self.device)
        self.tokens[:, : len(prompt)] = prompt
        self.luck.copy_(luck)
        self.logprob_sums.zero_()
        self.is_done.fill_(False)
        self._trail.reset()
        self.place = len(prompt) - 1
        self._here.fill_(self.place)
        x = self._embed(prompt[None].expand(self.rows, -1), self._places[: len(prompt)])
        for layer in self._layers:
            x = self._pass(layer, x, self._read_prompt(layer, x))
        return self._score(x[:, [task.sot_index, -1]])

    def step(self, rules: Rules, span: int, is_masked: bool, temperature: float) -> None:
        """One more token a row. Attention sees `span` places, masked where some of them are still to come."""
        hidden = torch.where(self._places[None, :span] <= self._here, 0.0, NEVER).to(self._dtype) if is_masked else None
        x = self._embed(self.tokens.index_select(1, self._here), self._here)
        for layer in self._layers:
            x = self._pass(layer, x, self._read_token(layer, x, span, hidden))
        self.take(self._score(x)[:, 0], rules, temperature, is_first=False)

    def take(self, logits: Any, rules: Rules, temperature: float, is_first: bool) -> None:
        """Choose the next token of each row and write it down; a row that is done gets ends of text."""
        logprobs, taken = rules.apply(logits, self._trail, is_first)
        found = pick(logits, temperature, self.luck.index_select(1, self._here)[:, 0])
        gain = logprobs.gather(1, found[:, None])[:, 0] - taken
        self.logprob_sums.add_(torch.where(self.is_done, 0.0, gain))
        found = torch.where(self.is_done, rules.eot, found)
        self._here.add_(1)
        self.tokens.index_copy_(1, self._here, found[:, None])
        self._trail.follow(found - rules.first_stamp, is_first)
        self.is_done.logical_or_(found == rules.eot)

    def advance(self) -> None:
        """Count a step that is done: recorded steps know nothing of Python's numbers."""
        self.place += 1

    def keep(self, rows: Any) -> None:
        """Go on with these rows alone: the memory shrinks, so no step can be played back after it."""
        self.rows = len(rows)
        self.tokens, self.luck = self.tokens[rows], self.luck[rows]
        self.logprob_sums, self.is_done = self.logprob_sums[rows], self.is_done[rows]
        self._trail.keep(rows)
        for layer in self._layers:
            layer.keep(rows, self.place + 1)

    def _embed(self, tokens: Any, places: Any) -> Any:
        decoder = self._decoder
        return (decoder.token_embedding(tokens) + decoder.positional_embedding[places]).to(self._dtype)

    def _pass(self, layer: Layer, x: Any, heard: Any) -> Any:
        block = layer.block
        x = x + block.attn.out(heard)
        query = self._split(block.cross_attn.query(block.cross_attn_ln(x)))
        sound = scaled_dot_product_attention(query, layer.sound_keys, layer.sound_values)
        x = x + block.cross_attn.out(self._join(sound))
        return x + block.mlp(block.mlp_ln(x))

    def _read_prompt(self, layer: Layer, x: Any) -> Any:
        query, key, value = self._project(layer, x)
        layer.keys[:, :, : x.shape[1]] = key
        layer.values[:, :, : x.shape[1]] = value
        return self._join(scaled_dot_product_attention(query, key, value, is_causal=True))

    def _read_token(self, layer: Layer, x: Any, span: int, hidden: Any) -> Any:
        query, key, value = self._project(layer, x)
        layer.keys.index_copy_(2, self._here, key)
        layer.values.index_copy_(2, self._here, value)
        seen = (layer.keys[:, :, :span], layer.values[:, :, :span])
        return self._join(scaled_dot_product_attention(query, *seen, attn_mask=hidden))

    def _project(self, layer: Layer, x: Any) -> tuple[Any, Any, Any]:
        attention, x = layer.block.attn, layer.block.attn_ln(x)
        return self._split(attention.query(x)), self._split(attention.key(x)), self._split(attention.value(x))

    def _split(self, x: Any) -> Any:
        return x.unflatten(-1, (self._heads, -1)).transpose(1, 2)

    @staticmethod
    def _join(x: Any) -> Any:
        return x.transpose(1, 2).flatten(2)

    def _score(self, x: Any) -> Any:
        x = self._decoder.ln(x)
        return (x @ self._decoder.token_embedding.weight.to(x.dtype).T).float()
