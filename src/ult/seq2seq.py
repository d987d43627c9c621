"""Encoder-decoder models: a preset's form of the two halves, and what such a model is told of the vocabulary."""

from __future__ import annotations

from typing import Any

from ult.errors import MissingExtra
from ult.vocabulary import BOS, EOS, PAD, Vocabulary

try:
    import transformers
except ImportError as missing:
    raise MissingExtra("transformers", extra="train") from missing

# T5 1.1 models (arXiv:1910.10683) with tied embeddings, as wide as the decoder-only presets and as deep in each half.
ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "tiny": {"d_model": 128, "d_ff": 384, "d_kv": 32, "num_heads": 4, "num_layers": 2},
    "small": {"d_model": 384, "d_ff": 1024, "d_kv": 64, "num_heads": 6, "num_layers": 6},
}


def encoder_decoder(name: str, vocabulary: Vocabulary) -> Any:
    """Return a preset's model, its weights drawn from the global generator."""
    config = transformers.T5Config(
        vocab_size=vocabulary.size,
        feed_forward_proj="gated-silu",
        dropout_rate=0.0,
        tie_word_embeddings=True,
        decoder_start_token_id=EOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
        **ENCODER_DECODERS[name],
    )
    return transformers.T5ForConditionalGeneration(config)


def own_settings(model: Any) -> None:
    """Let a target start at `<eos>`, and forget all that a checkpoint says of how to generate."""
    model.config.decoder_start_token_id = EOS
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, decoder_start_token_id=EOS
    )
