"""mBART (Liu et al., 2020): an encoder and a decoder of pre-norm layers, with the names of the released weights.

The networks alone, without a library's generation: importing that takes longer than to translate a clip.

B clips, L rows, S rows of a memory, P rows before, E width, H heads of width d = E / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.tokens import PAD_ID

OFFSET = 2  # rows of the table of positions before the first position
STD = 0.02  # of random weights


@dataclass(frozen=True)
class Sizes:
    """Of an mBART whose encoder and decoder are alike."""

    vocabulary_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    mlp_size: int
    max_positions: int
    dropout: float


class MBartNetwork(nn.Module):
    """Encoder, decoder and output layer. One token table serves all three."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.model = EncoderDecoder(sizes)
        self.final_logits_bias = nn.Buffer(torch.zeros(1, sizes.vocabulary_size))
        self.lm_head = nn.Linear(sizes.hidden_size, sizes.vocabulary_size, bias=False)
        draw(self.lm_head)
        self.lm_head.weight = self.model.shared.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """Rows of the decoder (..., E) -> logits (..., V)."""
        logits: Tensor = self.lm_head(hidden) + self.final_logits_bias
        return logits


class EncoderDecoder(nn.Module):
    """Encoder and decoder with one token table, `shared`."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.shared = TokenTable(sizes.vocabulary_size, sizes.hidden_size, PAD_ID)
        self.encoder = Stack(sizes, decodes=False)
        self.decoder = Stack(sizes, decodes=True)
        draw(self.shared)
        self.encoder.embed_tokens.weight = self.decoder.embed_tokens.weight = self.shared.weight


class TokenTable(nn.Embedding):
    """Token ids (B, L) -> embeddings (B, L, E), scaled by sqrt(E)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) -> (B, L, E)."""
        scaled: Tensor = super().forward(tokens) * self.embedding_dim**0.5
        return scaled


class Stack(nn.Module):
    """The layers of an encoder, or of a decoder, in which no row sees a later one, on embedded rows."""

    def __init__(self, sizes: Sizes, *, decodes: bool) -> None:
        super().__init__()
        self.embed_tokens = TokenTable(sizes.vocabulary_size, sizes.hidden_size, PAD_ID)
        self.embed_positions = nn.Embedding(sizes.max_positions + OFFSET, sizes.hidden_size)
        self.layers = nn.ModuleList(Layer(sizes, decodes=decodes) for _ in range(sizes.num_layers))
        self.layernorm_embedding = nn.LayerNorm(sizes.hidden_size)
        self.layer_norm = nn.LayerNorm(sizes.hidden_size)
        self.dropout = nn.Dropout(sizes.dropout)
        self.decodes = decodes
        self.apply(draw)

    @property
    def max_positions(self) -> int:
        """Rows at most."""
        return self.embed_positions.num_embeddings - OFFSET

    def forward(
        self,
        rows: Tensor,
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        past: Sequence[Tensor] = (),
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embedded rows (B, L, E), for a decoder with a memory (B, S, E) -> hidden rows (B, L, E), and the next `past`.

        `mask` (B, L) and `memory_mask` (B, S): True = real. `past`: keys and values (B, H, P, d) of self-attention,
        layer after layer, of the P rows before; then L = 1.
        """
        first = past[0].shape[2] if past else 0
        positions = torch.arange(first, first + rows.shape[1], device=rows.device) + OFFSET
        # a decoder looks positions up once, an encoder for each row: their gradients have kept their last bit so
        hidden = rows + self.embed_positions(positions.expand(1 if self.decodes else len(rows), -1))
        hidden = self.dropout(self.layernorm_embedding(hidden))
        own, others = attention_mask(mask), attention_mask(memory_mask)
        following: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            hidden, kept = layer(hidden, own, memory, others, past[2 * number : 2 * number + 2])
            following += kept
        return self.layer_norm(hidden), following


class Layer(nn.Module):
    """Self-attention, in a decoder attention to a memory, and an MLP: each behind a LayerNorm, added to its input."""

    def __init__(self, sizes: Sizes, *, decodes: bool) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.self_attn = Attention(width, sizes.num_heads, is_causal=decodes)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        if decodes:
            self.encoder_attn = Attention(width, sizes.num_heads)
            self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, sizes.mlp_size), nn.Linear(sizes.mlp_size, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        memory: Tensor | None,
        memory_mask: Tensor | None,
        past: Sequence[Tensor],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `Stack.forward`, with masks (B, 1, 1, ...), None if all rows are real."""
        attended, kept = self.self_attn(self.self_attn_layer_norm(hidden), mask=mask, past=past)
        hidden = hidden + self.dropout(attended)
        if memory is not None:
            attended, _ = self.encoder_attn(self.encoder_attn_layer_norm(hidden), memory, memory_mask)
            hidden = hidden + self.dropout(attended)
        return hidden + self.dropout(self.mlp(self.final_layer_norm(hidden))), kept

    def mlp(self, rows: Tensor) -> Tensor:
        """(B, L, E) -> (B, L, E)."""
        change: Tensor = self.fc2(functional.gelu(self.fc1(rows)))
        return change


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V of H heads. `is_causal`: no row sees a later one."""

    def __init__(self, hidden_size: int, num_heads: int, *, is_causal: bool = False) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.is_causal = num_heads, hidden_size // num_heads, is_causal
        self.k_proj, self.v_proj = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.q_proj, self.out_proj = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        hidden_states: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        past: Sequence[Tensor] = (),
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Rows (B, L, E) to themselves or to a memory (B, S, E) -> (B, L, E), and keys and values (B, H, P + L, d)."""
        source = hidden_states if memory is None else memory
        queries = self.heads(self.q_proj(hidden_states))
        keys, values = self.heads(self.k_proj(source)), self.heads(self.v_proj(source))
        if past:
            keys, values = torch.cat((past[0], keys), dim=2), torch.cat((past[1], values), dim=2)
        is_causal = self.is_causal and hidden_states.shape[1] > 1
        attended = functional.scaled_dot_product_attention(queries, keys, values, mask, is_causal=is_causal)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), (keys, values)

    def heads(self, rows: Tensor) -> Tensor:
        """(B, L, E) -> (B, H, L, d)."""
        return rows.view(*rows.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)


def attention_mask(mask: Tensor | None) -> Tensor | None:
    """(B, S), True = real -> (B, 1, 1, S)."""
    return None if mask is None else mask[:, None, None]


@torch.no_grad()
def draw(module: nn.Module) -> None:
    """Random weights as mBART's authors drew them, in place."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        module.weight[module.padding_idx] = 0.0
