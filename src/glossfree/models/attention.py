"""Attention within a window, and rotary positions: what the temporal encoder is made of (section 3.1).

B clips, H heads, T time steps, d width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Queries that share one slice of keys. Forward and backward on one core, 4,096 steps, 8 heads of 64: 16 to 64 within
# 20 % of each other, 128 half as slow again, a dense mask 20 times, a gathered window per query 5 times as slow.
BLOCK = 32


def local_attention(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window_size: int) -> Tensor:
    """Queries, keys, values (B, H, T, d) -> (B, H, T, d): each step attends to window_size steps around itself.

    softmax(q k / sqrt(d)) v over |i - j| <= window_size // 2 and j < length. Time is cut into blocks of queries, each
    with the slice of keys that it can reach, so time and memory are O(T x (BLOCK + window_size)) at any T.
    `lengths` (B,). Steps behind a clip's end see themselves only; their result is finite and has no meaning.
    Raises ValueError for an even window.
    """
    if window_size % 2 == 0:
        raise ValueError(f"window_size must be odd, got {window_size}")
    batch, heads, steps, width = query.shape
    reach = window_size // 2
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
    """(B, blocks, block, block + 2 reach) bool: may this query of the block see this key of its slice?"""
    device = lengths.device
    queries = torch.arange(block, device=device)[:, None]
    keys = torch.arange(block + 2 * reach, device=device)[None, :] - reach
    near = (queries - keys).abs() <= reach
    absolute = torch.arange(blocks, device=device)[:, None] * block + keys
    real = (absolute >= 0) & (absolute < lengths[:, None, None])
    return (near & real[:, :, None, :]) | (queries == keys)


def rotary(features: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """Queries or keys (B, H, T, d) at positions (T,) -> the same, turned by their position (RoPE).

    Columns 2i and 2i + 1 are a complex number that is multiplied by exp(1j * position * base^(-2i / d)); the product
    of a query and a key then depends on the distance of their positions only. Raises ValueError for an odd d.
    """
    width = features.shape[-1]
    if width % 2:
        raise ValueError(f"an even width is needed to form pairs, got {width}")
    rates = base ** (-torch.arange(0, width, 2, device=features.device, dtype=torch.float32) / width)
    angles = positions.to(torch.float32)[:, None] * rates
    cosine, sine = angles.cos().to(features.dtype), angles.sin().to(features.dtype)
    even, odd = features[..., 0::2], features[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1).flatten(-2)
