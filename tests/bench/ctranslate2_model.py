"""A whisper model as one of CTranslate2, by the public classes of its specification. Called by engine_sides.

CTranslate2 converts what Hugging Face publishes; random weights of whisper's own class need this instead.
"""

from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.specs import WhisperSpec
from whisper import tokenizer


def write_model(model: Any, home: Path) -> Any:
    """Save the weights and load them, in single precision on one thread."""
    build_spec(model).save(str(home))
    return ctranslate2.models.Whisper(str(home), device="cpu", compute_type="float32", inter_threads=1, intra_threads=1)


def build_spec(model: Any) -> Any:
    dims = model.dims
    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    _set_encoder(spec.encoder, model.encoder)
    _set_decoder(spec.decoder, model.decoder)
    speech = tokenizer.get_tokenizer(multilingual=True, num_languages=model.num_languages, task="transcribe")
    spec.register_vocabulary(_read_vocabulary(speech, dims.n_vocab))
    config = spec.config
    config.suppress_ids = sorted({*speech.non_speech_tokens, *_never_said(speech)})
    config.suppress_ids_begin = [*speech.encode(" "), speech.eot]
    config.lang_ids = list(speech.all_language_tokens)
    config.alignment_heads = [(dims.n_text_layer - 1, 0)]
    spec.validate()
    spec.optimize(quantization="float32")
    return spec


def generate(loaded: Any, mels: Any, tokens: int) -> list[int]:
    """How many tokens each window has; CTranslate2 decodes half as many as it is asked for at the most."""
    sound = ctranslate2.StorageView.from_array(np.ascontiguousarray(mels.numpy()))
    start = [50258, 50259, 50359]
    found = loaded.generate(sound, [start] * len(mels), beam_size=1, max_length=2 * tokens)
    return [len(one.sequences_ids[0]) for one in found]


def _never_said(speech: Any) -> list[int]:
    return [speech.transcribe, speech.translate, speech.sot, speech.sot_prev, speech.sot_lm, speech.no_speech]


def _read_vocabulary(speech: Any, size: int) -> list[str]:
    """CTranslate2 looks special tokens up by name; what the others are called is no matter."""
    special = {number: name for name, number in speech.encoding._special_tokens.items()}
    return [special.get(number, f"t{number}") for number in range(size)]


def _set_encoder(spec: Any, encoder: Any) -> None:
    _set_weights(spec.conv1, encoder.conv1)
    _set_weights(spec.conv2, encoder.conv2)
    spec.position_encodings.encodings = encoder.positional_embedding.numpy()
    for layer, block in zip(spec.layer, encoder.blocks, strict=True):
        _set_attention(layer.self_attention, block.attn, block.attn_ln)
        _set_feed_forward(layer.ffn, block)
    _set_norm(spec.layer_norm, encoder.ln_post)


def _set_decoder(spec: Any, decoder: Any) -> None:
    spec.embeddings.weight = _array(decoder.token_embedding.weight)
    spec.projection.weight = spec.embeddings.weight
    spec.position_encodings.encodings = _array(decoder.positional_embedding)
    spec.scale_embeddings = False
    for layer, block in zip(spec.layer, decoder.blocks, strict=True):
        _set_attention(layer.self_attention, block.attn, block.attn_ln)
        _set_cross_attention(layer.attention, block.cross_attn, block.cross_attn_ln)
        _set_feed_forward(layer.ffn, block)
    _set_norm(spec.layer_norm, decoder.ln)


def _set_attention(spec: Any, attention: Any, norm: Any) -> None:
    layers = (attention.query, attention.key, attention.value)
    spec.linear[0].weight = np.concatenate([_array(layer.weight) for layer in layers])
    spec.linear[0].bias = np.concatenate([_bias(layer) for layer in layers])
    _set_weights(spec.linear[1], attention.out)
    _set_norm(spec.layer_norm, norm)


def _set_cross_attention(spec: Any, attention: Any, norm: Any) -> None:
    _set_weights(spec.linear[0], attention.query)
    spec.linear[1].weight = np.concatenate([_array(attention.key.weight), _array(attention.value.weight)])
    spec.linear[1].bias = np.concatenate([_bias(attention.key), _bias(attention.value)])
    _set_weights(spec.linear[2], attention.out)
    _set_norm(spec.layer_norm, norm)


def _set_feed_forward(spec: Any, block: Any) -> None:
    _set_weights(spec.linear_0, block.mlp[0])
    _set_weights(spec.linear_1, block.mlp[2])
    _set_norm(spec.layer_norm, block.mlp_ln)


def _set_weights(spec: Any, layer: Any) -> None:
    spec.weight, spec.bias = _array(layer.weight), _bias(layer)


def _set_norm(spec: Any, norm: Any) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _bias(layer: Any) -> Any:
    return np.zeros(layer.weight.shape[0], np.float32) if layer.bias is None else _array(layer.bias)


def _array(parameter: Any) -> Any:
    return parameter.detach().numpy()
