"""Frame features -> segment features: a local-attention transformer that halves time (section 3.1).

B clips, T frames or time steps, S = ceil(T / 2) segments, D temporal width, E language width, H heads, d width of a
head. Padding never affects a real position: a clip's segment features do not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.choices import Temporal, TemporalModule
from glossfree.models.temporal.gloss_attention import gloss_attention
from glossfree.padded import Padded
from glossfree.settings import DEEPEST, WIDEST, value

# Queries that share one slice of keys. Forward and backward on one core, 4,096 steps, 8 heads of 64: sizes 16 to 64 are
# within 20 % of each other; 128 is 1.5 times, a dense mask 20 times, a gathered window per query 5 times as slow.
BLOCK = 32


class LocalAttention(Temporal):
    """Sizes of the transformer."""

    kind: Literal["local_attention"] = "local_attention"
    num_layers: int = value(4, "stated", "layers", ge=1, le=DEEPEST)
    num_heads: int = value(8, "stated", "attention heads", ge=1, le=WIDEST)
    mlp_size: int = value(2048, "stated", "width of the MLP", ge=1, le=WIDEST)
    window_size: int = value(7, "stated", "frames that a position sees, itself included", ge=1, le=WIDEST)
    downsample_after: int = value(2, "stated", "layers before time is halved; 0: it is not", ge=0)
    dropout: float = value(0.1, "released", "dropout", ge=0, lt=1)
    drop_path: float = value(0.1, "released", "stochastic depth of the last layer, rising from 0", ge=0, lt=1)
    layer_scale: float = value(1e-5, "released", "start of LayerScale on the attention branch", gt=0)
    attention: Literal["window", "gloss", "released_gloss"] = value(
        "window",
        "stated",
        "the window; as many positions at learned offsets from it (GASLT); or those as GASLT's code computes them",
    )

    def problems(self) -> Iterator[str]:
        """Sizes that contradict each other."""
        if self.hidden_size % (2 * self.num_heads):
            yield f"hidden_size {self.hidden_size} is no even multiple of num_heads {self.num_heads}, as positions need"
        if self.window_size % 2 == 0:
            yield "window_size must be odd, for equally many neighbours on either side"
        if self.downsample_after > self.num_layers:
            yield "downsample_after exceeds num_layers"

    def build(self, output_size: int) -> TemporalEncoder:
        """The transformer, with random weights."""
        return TemporalEncoder(self, output_size)


class TemporalEncoder(TemporalModule):
    """Padded (B, T, D) -> Padded (B, S, E), S = ceil(T / 2); without halving, S = T."""

    def __init__(self, options: LocalAttention, output_size: int) -> None:
        super().__init__()
        self.downsample_after = options.downsample_after
        self.frames_per_segment = 2 if options.downsample_after else 1
        # stochastic depth rises linearly from 0 in the first layer to drop_path in the last
        last = max(options.num_layers - 1, 1)
        rates = [options.drop_path * layer / last for layer in range(options.num_layers)]
        self.layers = nn.ModuleList(TemporalLayer(options, rate) for rate in rates)
        self.output = nn.Linear(options.hidden_size, output_size)

    def forward(self, frame_features: Padded) -> Padded:
        """Padded (B, T, D) -> Padded (B, S, E)."""
        values = frame_features.values
        sequence = frame_features.with_values(
            values + sinusoids(values.shape[1], values.shape[2], values.device).to(values)
        )
        for number, layer in enumerate(self.layers, start=1):
            sequence = layer(sequence)
            if number == self.downsample_after:
                sequence = halve(sequence)
        return sequence.with_values(self.output(sequence.values))


class TemporalLayer(nn.Module):
    """Post-norm transformer layer: x = LN(x + drop_path(layer_scale * attention(x))); x = LN(x + drop_path(MLP(x)))."""

    def __init__(self, options: LocalAttention, drop_path: float) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.drop_path = options.num_heads, options.window_size, drop_path
        hidden_size, mlp_size, dropout = options.hidden_size, options.mlp_size, options.dropout
        self.attention = options.attention
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.layer_scale = nn.Parameter(torch.full((hidden_size,), options.layer_scale))
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, mlp_size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_size, hidden_size),
        )
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)
        if self.attention != "window":
            self.offsets = nn.Linear(hidden_size, self.num_heads * self.window_size)
            nn.init.zeros_(self.offsets.weight)  # it begins as a window
            nn.init.zeros_(self.offsets.bias)

    def forward(self, sequence: Padded) -> Padded:
        """Padded (B, T, D) -> Padded (B, T, D)."""
        values = sequence.values
        values = self.attention_norm(values + self._drop_path(self.layer_scale * self._attention(sequence)))
        values = self.mlp_norm(values + self._drop_path(self.dropout(self.mlp(values))))
        return sequence.with_values(values)

    def _attention(self, sequence: Padded) -> Tensor:
        """Self-attention to a window, or to chosen positions, with rotary positions: (B, T, D)."""
        batch, steps, width = sequence.values.shape
        heads = self.qkv(sequence.values).view(batch, steps, 3, self.num_heads, width // self.num_heads)
        query, key, value = (each.transpose(1, 2) for each in heads.unbind(2))
        positions = torch.arange(steps, device=query.device)
        turned = rotary(query, positions), rotary(key, positions)
        if self.attention == "window":
            attended = local_attention(*turned, value, sequence.lengths, self.window_size)
        else:
            chosen = self.offsets(heads[:, :, 0].flatten(2)).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            as_released = self.attention == "released_gloss"
            attended = gloss_attention(*turned, value, chosen, sequence.lengths, as_released=as_released)
        mixed: Tensor = self.dropout(self.projection(attended.transpose(1, 2).reshape(batch, steps, width)))
        return mixed

    def _drop_path(self, branch: Tensor) -> Tensor:
        """Stochastic depth: in training, the whole branch of a clip is dropped with probability drop_path."""
        if not self.training or self.drop_path == 0:
            return branch
        kept = branch.new_empty(branch.shape[0], 1, 1).bernoulli_(1 - self.drop_path)
        return branch * kept / (1 - self.drop_path)


def halve(sequence: Padded) -> Padded:
    """Padded (B, T, D) -> Padded (B, ceil(T / 2), D): average pooling, kernel 3, stride 2, padding 1.

    Padding counts as zeros, like the border, and sums are always divided by 3, as in torch and the released code. So
    the last segment of a clip does not depend on its batch.
    """
    real = sequence.values * sequence.mask[..., None].to(sequence.values.dtype)
    pooled = functional.avg_pool1d(real.transpose(1, 2), kernel_size=3, stride=2, padding=1).transpose(1, 2)
    return Padded(pooled, (sequence.lengths + 1) // 2)


def sinusoids(steps: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positions (T, D): even columns sines, odd ones cosines, of wavelengths from 2 pi to 20,000 pi."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angles = torch.arange(steps, dtype=torch.float32, device=device)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)[:, :width]


def local_attention(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window_size: int) -> Tensor:
    """Queries, keys, values (B, H, T, d) -> (B, H, T, d): attention within window_size steps around each step.

    softmax(q k / sqrt(d)) v over |i - j| <= window_size // 2 and j < length. Time is split into blocks of queries, each
    with its slice of reachable keys, so time and memory are O(T x (BLOCK + window_size)).
    `lengths` (B,). Padding attends to itself only; its result is finite but meaningless.
    Raises ValueError for an even window.
    """
    if window_size % 2 == 0:
        raise ValueError(f"window_size must be odd, got {window_size}")
    batch, heads, steps, width = query.shape
    reach = window_size // 2
    if torch.compiler.is_exporting():  # one block of all steps: the graph is short, and so is a clip
        mask = _window_mask(lengths, 1, steps, reach)[:, :, :, reach : reach + steps]
        return functional.scaled_dot_product_attention(query, key, value, mask)
    block = min(BLOCK, steps)
    blocks = -(-steps // block)
    surplus = blocks * block - steps
    queries = functional.pad(query, (0, 0, 0, surplus)).view(batch, heads, blocks, block, width)
    keys, values = (
        functional.pad(each, (0, 0, reach, reach + surplus)).unfold(2, block + 2 * reach, block).transpose(-1, -2)
        for each in (key, value)
    )
    mask = _window_mask(lengths, blocks, block, reach)
    scores = (queries * width**-0.5) @ keys.transpose(-1, -2)
    weights = scores.masked_fill(~mask[:, None], float("-inf")).softmax(dim=-1)
    attended: Tensor = weights.to(values.dtype) @ values
    return attended.view(batch, heads, blocks * block, width)[:, :, :steps]


def _window_mask(lengths: Tensor, blocks: int, block: int, reach: int) -> Tensor:
    """(B, blocks, block, block + 2 reach) bool: whether a query of a block may attend to a key."""
    device = lengths.device
    queries = torch.arange(block, device=device)[:, None]
    keys = torch.arange(block + 2 * reach, device=device)[None, :] - reach
    near = (queries - keys).abs() <= reach
    absolute = torch.arange(blocks, device=device)[:, None] * block + keys
    real = (absolute >= 0) & (absolute < lengths[:, None, None])
    return (near & real[:, :, None, :]) | (queries == keys)


def rotary(features: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """Queries or keys (B, H, T, d) at positions (T,) -> the same, rotated by their position (RoPE).

    Columns 2i and 2i + 1 form a complex number that is multiplied by exp(1j * position * base^(-2i / d)). The product
    of a query and a key then depends only on the distance between their positions. Raises ValueError for an odd d.
    """
    width = features.shape[-1]
    if width % 2:
        raise ValueError(f"an even width is needed to form pairs, got {width}")
    rates = base ** (-torch.arange(0, width, 2, device=features.device, dtype=torch.float32) / width)
    angles = positions.to(torch.float32)[:, None] * rates
    cosine, sine = angles.cos().to(features.dtype), angles.sin().to(features.dtype)
    even, odd = features[..., 0::2], features[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1).flatten(-2)
