"""Attention to a few positions that each query chooses: GASLT's gloss attention (Yin et al. 2023).

B clips, H heads, T time steps, N keys of a query, d width of a head. With its own queries, keys and values, each head
sees at step t the N positions

    p_j = t + j + o_j(t),  j = -(N-1)/2 ... (N-1)/2,   o(t) = W_o q(t) + b_o
    out(t) = sum_j softmax_j(q(t) k(p_j) / sqrt(d)) v(p_j)

and k(p), v(p) interpolate linearly between the two steps around p. At offsets of 0 this is a window. Time and memory
are O(T N). We keep p_j within the clip by clamping it, so that an edge may be seen several times. The released code
takes p_j modulo (length - 1), so that late frames see early ones and none reaches the last; its window is asymmetric
(-4 ... 2 for N = 7); and because its sampler reads half a row below the only row, keys and values are halved. The
sampler also stretches p_j by T / (T - 1) for the longest T of the batch, minus half a step, which is left out here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gloss_attention(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, lengths: Tensor, *, as_released: bool = False
) -> Tensor:
    """Queries, keys, values (B, H, T, d), offsets (B, H, T, N) in steps, lengths (B,) -> (B, H, T, d).

    Results at padding are finite but meaningless. `as_released`: wrapped positions, an asymmetric window and halved
    keys and values.
    """
    batch, heads, steps, width = query.shape
    lower, upper, share = neighbours(offsets, lengths, as_released)
    shares = torch.cat((1 - share, share), dim=-1)
    starts = torch.arange(batch * heads, device=query.device).view(batch, heads, 1, 1) * steps
    rows = starts + torch.cat((lower, upper), dim=-1)  # (B, H, T, 2N), of all clips' and heads' steps
    half = 0.5 if as_released else 1.0
    # embedding sums its gradient in a fixed order; with two threads, the gradient of indexing varies between runs
    keys = functional.embedding(rows, key.flatten(0, 2))
    before, after = ((keys @ query[..., None])[..., 0] * shares).chunk(2, dim=-1)
    weights = ((before + after) * (half * width**-0.5)).softmax(dim=-1)
    weights = (weights.repeat(1, 1, 1, 2) * shares * half).to(value.dtype)
    attended = functional.embedding_bag(
        rows.flatten(0, 2), value.flatten(0, 2), per_sample_weights=weights.flatten(0, 2), mode="sum"
    )
    return attended.view(batch, heads, steps, width)


def neighbours(offsets: Tensor, lengths: Tensor, as_released: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets (B, H, T, N) -> the steps before and after each position, within the clip, and the share of the latter.

    The share has at least float32's precision: bfloat16 cannot tell steps 256 and 257 apart.
    """
    steps, number = offsets.shape[2:]
    first = -number // 2 if as_released else -(number // 2)
    window = torch.arange(first, first + number, dtype=torch.float32, device=offsets.device)
    positions = torch.arange(steps, device=offsets.device)[:, None] + window + offsets
    last = (lengths - 1)[:, None, None, None]
    positions = positions.remainder(last.clamp(min=1)) if as_released else positions.clamp(min=0).minimum(last)
    lower = positions.floor().long().clamp(min=0).minimum(last)  # within the clip even if an offset is NaN
    return lower, (lower + 1).minimum(last), positions - lower
