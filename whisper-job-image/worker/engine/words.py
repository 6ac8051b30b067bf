"""Times of single words, by whisper's own alignment, from features that are there. Called by `engine.batched`."""

from typing import Any

import torch
from whisper.timing import add_word_timestamps

from worker.engine.sequential import to_plain
from worker.segments import restore_times, spans_of


class _Encoded:
    """The model as the alignment calls it, for one window whose sound has been encoded: it would encode it again."""

    def __init__(self, model: Any, features: Any) -> None:
        self.device, self.dims, self.decoder = model.device, model.dims, model.decoder
        self.alignment_heads = model.alignment_heads
        self._features = features

    def __call__(self, _mel: Any, tokens: Any) -> Any:
        return self.decoder(tokens, self._features[None])


def add_words(
    model: Any, tokenizer: Any, features: Any, frames: int, segments: list[dict[str, Any]], last_end: float
) -> float | None:
    """Give the segments of one window their words; when the last word ends, if there is one."""
    spans = spans_of(segments)
    with torch.inference_mode():
        add_word_timestamps(
            segments=segments,
            model=_Encoded(model, features),
            tokenizer=tokenizer,
            mel=torch.empty(0),
            num_frames=frames,
            last_speech_timestamp=last_end,
        )
    for segment in segments:
        segment.update(to_plain(segment))
    restore_times(segments, spans)
    ends = [word["end"] for segment in segments for word in segment["words"]]
    return ends[-1] if ends else None
