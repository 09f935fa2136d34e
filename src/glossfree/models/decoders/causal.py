"""mBART's decoder without its cross-attention, as the language model of `gated`: Sign2GPT's adapters, comparable.

Its tokenizer is that of the other decoders, so a comparison is about how the video gets in. Sign2GPT's own language
model is XGLM-1.7B: see `language_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.adapters import Adapters
from glossfree.models.beam_search import State
from glossfree.models.choices import Decoder, Decoding, LanguageEncoder
from glossfree.models.decoders.gated import ALPHA, DROPOUT, MODEL, NEW, RANK, TRAIN, GatedDecoder
from glossfree.models.language.mbart import MBART_BIAS, MBART_TABLE, mbart_tensors, with_trimmed
from glossfree.models.mbart import Sizes, Stack
from glossfree.models.weights import Census, load
from glossfree.settings import DEEPEST, WIDEST, Trained, value

TABLE, BIAS = f"{MODEL}embed_tokens.weight", "output_bias"
UNUSED = ("model.encoder.", "encoder_attn", f"{MODEL}version")  # what mBART has besides


class CausalDecoding(Adapters, Decoding):
    """Sizes of the language model, and of its adapters. Sign2GPT has no language encoder: language.kind = "none"."""

    kind: Literal["causal"] = "causal"
    weights: str = value(
        "", "assumed", "folder of the mBART whose decoder it is, or hub:owner/name; empty: random (stated: XGLM-1.7B)"
    )
    train: Trained = TRAIN
    adapter_rank: int = RANK
    adapter_alpha: float = ALPHA
    adapter_dropout: float = DROPOUT
    hidden_size: int = value(1024, "assumed", "width of the language model, mBART's", ge=2, le=WIDEST)
    num_layers: int = value(12, "assumed", "layers, mBART's", ge=1, le=DEEPEST)
    num_heads: int = value(16, "assumed", "attention heads, mBART's", ge=1, le=WIDEST)
    mlp_size: int = value(4096, "assumed", "width of the MLPs, mBART's", ge=1, le=WIDEST)
    max_positions: int = value(1024, "assumed", "positions, mBART's", ge=8, le=WIDEST)
    dropout: float = value(0.1, "assumed", "dropout of the language model", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "out_proj")  # released

    def build(self, language: LanguageEncoder, width: int, vocabulary_size: int) -> CausalDecoder:
        """The decoder, with random weights and a token table of its own."""
        return CausalDecoder(self, width, vocabulary_size)

    def source(self) -> str:
        """The folder of its mBART."""
        return self.weights

    def load(self, module: Decoder, source: Path, kept_ids: Sequence[int] | None) -> Census:
        """Load the decoder of an mBART, without its cross-attention, in place. Raises ModelError."""
        assert isinstance(module, CausalDecoder)
        names = {MBART_TABLE: TABLE, MBART_BIAS: BIAS}
        tensors = {
            names.get(name, name.replace("model.decoder.", MODEL)): tensor
            for name, tensor in mbart_tensors(source, kept_ids).items()
        }
        ignored = tuple(name for name in tensors if any(part in name for part in UNUSED))
        census = load(module, tensors, where=str(source), new=NEW, ignored=ignored)
        return census if kept_ids is None else with_trimmed(census, TABLE, BIAS)


class CausalDecoder(GatedDecoder):
    """The decoder of an mBART behind gated attention."""

    def __init__(self, options: CausalDecoding, width: int, vocabulary_size: int) -> None:
        sizes = Sizes(
            vocabulary_size,
            *(options.hidden_size, options.num_layers, options.num_heads),
            *(options.mlp_size, options.max_positions, options.dropout),
        )
        language_model = Stack(sizes, decodes=True)
        layers: Any = language_model.layers
        for layer in layers:
            del layer.encoder_attn, layer.encoder_attn_layer_norm
        super().__init__(language_model, layers, options, width, options.hidden_size)
        self.vocabulary_size = vocabulary_size
        self.output_bias = nn.Buffer(torch.zeros(1, vocabulary_size))

    def logits(self, tokens: Tensor, past: State) -> tuple[Tensor, State]:
        """Token ids (R, L) after those of `past` -> logits (R, L, V), the next past."""
        model: Any = self.language_model
        hidden, past = model(model.embed_tokens(tokens), past=past)
        return functional.linear(hidden, model.embed_tokens.weight) + self.output_bias, past
