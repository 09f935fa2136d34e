"""A language model that reads the video through zero-gated attention: Sign2GPT (Wong et al., ICLR 2024).

Sign2GPT's language model is XGLM-1.7B. Here it is mBART's decoder without its cross-attention, as a causal language
model: its tokenizer is that of the other decoders, so a comparison is about how the video gets in. The model is frozen.
Of each layer, LoRA on the projections of self-attention trains, and what the layer adds to it from the video:

    o = W_o (Attn(h) + g_head softmax(Q' K'^T / sqrt(d)) V'),  g = clamp(gamma, 0, 1), gamma = 0 at the start,
    Q' = W_q h + A_q h,  K' = W_k n + A_k n,  V' = W_v n + A_v n,  n = LayerNorm(W (video features + sine positions)),

with the layer's own frozen W_q, W_k, W_v and LayerNorm, its LoRA (in W_o and Attn) and low-rank A_q, A_k, A_v of the
gate. Facts from the authors' public code (ryanwongsa/Sign2GPT). There, A_k and A_v do not start at zero.

B clips, K beams, R = B x K rows, S segments, L tokens, P tokens before them, E width of video features, D width of the
language model, H heads, d = D / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache
from transformers.models.mbart.modeling_mbart import MBartAttention
from transformers.models.mbart.modeling_mbart import MBartDecoder as TransformersDecoder

from glossfree.models.adapters import Adapters
from glossfree.models.beam_search import State, beam_search
from glossfree.models.choices import Beams, Decoder, Decoding, LanguageEncoder, Translations
from glossfree.models.language.mbart import MBART_BIAS, MBART_TABLE, mbart_config, mbart_tensors, with_trimmed
from glossfree.models.temporal.local_attention import sinusoids
from glossfree.models.tokens import never_written, shift_right
from glossfree.models.weights import Census, load
from glossfree.padded import Padded
from glossfree.settings import DEEPEST, WIDEST, Trained, heads_fit, value

MODEL = "language_model."
TABLE, BIAS = f"{MODEL}embed_tokens.weight", "output_bias"
NEW = ("projection.", "gates.")  # what no mBART has
UNUSED = ("model.encoder.", "encoder_attn", f"{MODEL}version")  # what mBART has besides


class CausalDecoding(Adapters, Decoding):
    """Sizes of the language model, and of its adapters. Sign2GPT has no language encoder: language.kind = "none"."""

    kind: Literal["causal"] = "causal"
    weights: str = value(
        "", "assumed", "folder of the mBART whose decoder it is, or hub:owner/name; empty: random (stated: XGLM-1.7B)"
    )
    train: Trained = value(
        "adapters", "stated", "what of the language model trains: LoRA, everything, nothing; the gated attention does"
    )
    adapter_rank: int = value(4, "released", "rank of LoRA and of the gated attention's adapters", ge=1, le=WIDEST)
    adapter_alpha: float = value(4.0, "released", "scaling factor of both", gt=0)
    adapter_dropout: float = value(0.1, "released", "dropout of both", ge=0, lt=1)
    hidden_size: int = value(1024, "assumed", "width of the language model, mBART's", ge=2, le=WIDEST)
    num_layers: int = value(12, "assumed", "layers, mBART's", ge=1, le=DEEPEST)
    num_heads: int = value(16, "assumed", "attention heads, mBART's", ge=1, le=WIDEST)
    mlp_size: int = value(4096, "assumed", "width of the MLPs, mBART's", ge=1, le=WIDEST)
    max_positions: int = value(1024, "assumed", "positions, mBART's", ge=8, le=WIDEST)
    dropout: float = value(0.1, "assumed", "dropout of the language model", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "out_proj")  # released

    def problems(self) -> Iterator[str]:
        """Sizes that contradict each other."""
        yield from heads_fit(self.hidden_size, self.num_heads)

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


class CausalDecoder(Decoder):
    """Video features Padded (B, S, E) and the tokens so far -> logits of the next token."""

    def __init__(self, options: CausalDecoding, width: int, vocabulary_size: int) -> None:
        super().__init__()
        config = mbart_config(
            vocabulary_size,
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            num_heads=options.num_heads,
            mlp_size=options.mlp_size,
            max_positions=options.max_positions,
            dropout=options.dropout,
        )
        self.language_model = TransformersDecoder(config)
        layers: Any = self.language_model.layers
        for number, layer in enumerate(layers):
            del layer.encoder_attn, layer.encoder_attn_layer_norm
            layer.self_attn = GatedAttention(layer.self_attn, number)
        self.output_bias = nn.Buffer(torch.zeros(1, vocabulary_size))
        self.projection = nn.Linear(width, options.hidden_size)
        self.gates = nn.ModuleList(Gate(options) for _ in range(options.num_layers))

    @property
    def adapted(self) -> nn.Module:
        """The module that gets adapters; its other weights are then frozen. The gates are beside it, and train."""
        model: nn.Module = self.language_model
        return model

    def forward(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E) and labels (B, L) -> logits (B, L, V), each from the tokens before it."""
        return self.write(shift_right(labels), self.read(video), None)

    @torch.no_grad()
    def generate(
        self, video: Padded, beams: Beams, language_id: int, suppressed: Sequence[int] | None = None
    ) -> Translations:
        """Video features Padded (B, S, E) -> Translations by beam search (`suppressed`: by default `never_written`)."""
        if suppressed is None:
            suppressed = never_written(self.output_bias.shape[1])
        memories = self.read(video)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            """The state has keys and values (R, H, P, d) of each layer in turn."""
            cache: Any = DynamicCache()
            for number, (keys, values) in enumerate(zip(state[::2], state[1::2], strict=True)):
                cache.update(keys, values, number)
            logits = self.write(tokens[:, None], memories, cache)[:, 0]
            state = tuple(each for layer in cache.layers for each in (layer.keys, layer.values))
            return logits.float().log_softmax(dim=-1), state

        # nothing is written yet: P = 0
        first_state = tuple(each[:, :, :0] for memory in memories for each in (memory.keys, memory.values))
        return beam_search(step, first_state, language_id, beams, suppressed)

    def read(self, video: Padded) -> tuple[Memory, ...]:
        """Video features Padded (B, S, E) -> the memory of each layer."""
        # padding may hold nan, and 0 x nan is nan
        values = video.values.masked_fill(~video.mask[..., None], 0.0)
        projected = self.projection(values + sinusoids(*values.shape[1:]).to(values))
        layers: Any = zip(self.language_model.layers, self.gates, strict=True)
        return tuple(
            gate.read(layer.self_attn, layer.self_attn_layer_norm(projected), video.mask) for layer, gate in layers
        )

    def write(self, tokens: Tensor, memories: Sequence[Memory], cache: DynamicCache | None) -> Tensor:
        """Token ids (R, L), row r of clip r // K, after those in the cache -> logits (R, L, V). The cache grows."""
        output: Any = self.language_model(  # transformers passes `memories` on to every layer's self-attention
            input_ids=tokens, past_key_values=cache, use_cache=cache is not None, memories=memories
        )
        table = self.language_model.embed_tokens.weight
        return functional.linear(output.last_hidden_state, table) + self.output_bias


class Gate(nn.Module):
    """What one layer needs to read the video: gamma, and low-rank adapters beside its projections."""

    def __init__(self, options: CausalDecoding) -> None:
        super().__init__()
        rank, alpha, dropout = options.adapter_rank, options.adapter_alpha, options.adapter_dropout
        self.gamma = nn.Parameter(torch.zeros(options.num_heads, 1, 1))
        self.query, self.key, self.value = (LowRank(options.hidden_size, rank, alpha, dropout) for _ in range(3))

    def read(self, attention: GatedAttention, features: Tensor, mask: Tensor) -> Memory:
        """The layer's attention, the normalised features (B, S, D) of the video and their mask -> its memory."""
        keys = frozen(attention.k_proj)(features) + self.key(features)
        values = frozen(attention.v_proj)(features) + self.value(features)
        return Memory(self, attention.split(keys), attention.split(values), mask)

    def queries(self, attention: GatedAttention, hidden: Tensor) -> Tensor:
        """The layer's attention and its input (R, L, D) -> queries (R, H, L, d) to the video."""
        return attention.split(frozen(attention.q_proj)(hidden) + self.query(hidden))


@dataclass(frozen=True)
class Memory:
    """The video as one layer reads it: keys and values (B, H, S, d), mask (B, S), True = real."""

    gate: Gate
    keys: Tensor
    values: Tensor
    mask: Tensor


class GatedAttention(nn.Module):
    """A causal self-attention with the projections of a given one, which adds gated attention to the video.

    The gates are not in here: they come with the call, and train while this module is frozen.
    """

    def __init__(self, attention: MBartAttention, layer: int) -> None:
        """`layer`: the place of its memory, and of its keys and values in the cache."""
        super().__init__()
        self.num_heads, self.layer = attention.num_heads, layer
        self.q_proj, self.k_proj = attention.q_proj, attention.k_proj
        self.v_proj, self.out_proj = attention.v_proj, attention.out_proj

    def forward(
        self,
        hidden_states: Tensor,
        memories: Sequence[Memory],
        attention_mask: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
    ) -> tuple[Tensor, None]:
        """(R, L, D), row r of clip r // K, the memory of each layer, mask (R, 1, L, P + L) -> (R, L, D), no weights.

        No mask: each token sees those before it, or, if it is one, all.
        """
        query, key, values = (self.split(each(hidden_states)) for each in (self.q_proj, self.k_proj, self.v_proj))
        if past_key_values is not None:
            key, values = past_key_values.update(key, values, self.layer)
        is_causal = attention_mask is None and query.shape[2] > 1
        attended = functional.scaled_dot_product_attention(query, key, values, attention_mask, is_causal=is_causal)
        memory = memories[self.layer]
        attended = attended + gated_attention(
            memory.gate.queries(self, hidden_states), memory.keys, memory.values, memory.mask, memory.gate.gamma
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None

    def split(self, features: Tensor) -> Tensor:
        """(R, L, D) -> (R, H, L, d)."""
        return features.view(*features.shape[:2], self.num_heads, -1).transpose(1, 2)


def gated_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, gamma: Tensor) -> Tensor:
    """Queries (R, H, L, d), row r of clip r // K, keys and values (B, H, S, d), mask (B, S), gamma (H, 1, 1)
    -> clamp(gamma, 0, 1) softmax(Q K^T / sqrt(d)) V (R, H, L, d), over the real steps of each clip.
    """
    beside = query.view(len(key), -1, *query.shape[1:]).transpose(1, 2)  # all beams of a clip read the same memory
    attended = functional.scaled_dot_product_attention(beside.flatten(2, 3), key, value, mask[:, None, None])
    return straight_through_clamp(gamma) * attended.view(beside.shape).transpose(1, 2).flatten(0, 1)


def straight_through_clamp(gamma: Tensor) -> Tensor:
    """clamp(gamma, 0, 1), with the gradient of the identity, so that a gate that has closed can open again."""
    return gamma + (gamma.clamp(0, 1) - gamma).detach()


class LowRank(nn.Module):
    """x (..., D) -> (alpha / rank) B A dropout(x) (..., D). B starts at zero."""

    def __init__(self, width: int, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.down, self.up = nn.Linear(width, rank, bias=False), nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        change: Tensor = self.scale * self.up(self.down(self.dropout(features)))
        return change


def frozen(projection: nn.Module) -> nn.Module:
    """A projection without its LoRA."""
    return projection.get_base_layer() if isinstance(projection, LoraLayer) else projection
