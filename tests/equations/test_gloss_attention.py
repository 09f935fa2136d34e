"""GASLT's gloss attention against loops over clips, heads, steps and keys in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glossfree.models.temporal.gloss_attention import gloss_attention, neighbours
from glossfree.models.temporal.local_attention import local_attention

B, H, T, N, D = 3, 2, 13, 5, 6
LENGTHS = (13, 7, 1)


def inputs(spread: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, H, T, D), and offsets (B, H, T, N) that reach beyond the clips."""
    generator = torch.Generator().manual_seed(3)
    query, key, value = torch.randn(3, B, H, T, D, generator=generator, dtype=torch.float64)
    return query, key, value, spread * torch.randn(B, H, T, N, generator=generator, dtype=torch.float64)


def naive(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, length: int, as_released: bool
) -> list[list[float]]:
    """One clip and head: (T, D) rows, and so on -> the rows of its real steps."""
    first, factor, rows = (-3, 0.5, []) if as_released else (-2, 1.0, [])

    def at(position: float, rows: Tensor) -> list[float]:
        before = math.floor(position)
        share, after = position - before, min(before + 1, length - 1)
        before = min(before, length - 1)
        return [
            factor * ((1 - share) * float(a) + share * float(b)) for a, b in zip(rows[before], rows[after], strict=True)
        ]

    for step in range(length):
        places = [step + first + key + float(offsets[step, key]) for key in range(N)]
        if as_released:
            places = [place % max(length - 1, 1) for place in places]
        else:
            places = [min(max(place, 0.0), length - 1.0) for place in places]
        keys = [at(place, key) for place in places]
        scores = [sum(float(q) * k for q, k in zip(query[step], row, strict=True)) / math.sqrt(D) for row in keys]
        powers = [math.exp(score) for score in scores]
        values = [at(place, value) for place in places]
        rows.append([sum(p * row[d] for p, row in zip(powers, values, strict=True)) / sum(powers) for d in range(D)])
    return rows


@pytest.mark.parametrize("as_released", [False, True])
@pytest.mark.parametrize("spread", [0.0, 0.4, 6.0])
def test_it_is_attention_to_interpolated_steps(spread: float, as_released: bool) -> None:
    query, key, value, offsets = inputs(spread)
    result = gloss_attention(query, key, value, offsets, torch.tensor(LENGTHS), as_released=as_released)
    assert result.shape == (B, H, T, D) and result.dtype == torch.float64 and result.isfinite().all()
    for clip, length in enumerate(LENGTHS):
        for head in range(H):
            own = [each[clip, head] for each in (query, key, value, offsets)]
            expected = torch.tensor(naive(*own, length, as_released), dtype=torch.float64)
            torch.testing.assert_close(result[clip, head, :length], expected, rtol=0, atol=1e-12)


def test_without_offsets_it_is_a_window_except_near_the_ends() -> None:
    query, key, value, offsets = inputs(0.0)
    lengths = torch.tensor(LENGTHS)
    chosen = gloss_attention(query, key, value, offsets, lengths)
    window = local_attention(query, key, value, lengths, N)
    for clip, length in enumerate(LENGTHS):
        inner = slice(N // 2, max(length - N // 2, N // 2))
        torch.testing.assert_close(chosen[clip, :, inner], window[clip, :, inner], rtol=0, atol=1e-12)
    assert not torch.allclose(chosen[0, :, 0], window[0, :, 0]), "at the ends, the first and last step count again"


@pytest.mark.parametrize("as_released", [False, True])
def test_gradients_are_those_of_small_steps(as_released: bool) -> None:
    arguments = [each.requires_grad_() for each in inputs(0.4)]
    lengths = torch.tensor(LENGTHS)

    def real(*arguments: Tensor) -> Tensor:
        result = gloss_attention(*arguments, lengths, as_released=as_released)
        return torch.stack([result[clip, :, :length].sum(dim=(0, 1)) for clip, length in enumerate(LENGTHS)])

    assert torch.autograd.gradcheck(real, arguments)


@pytest.mark.parametrize("as_released", [False, True])
def test_padding_is_never_read(as_released: bool) -> None:
    query, key, value, offsets = inputs(6.0)
    lengths = torch.tensor(LENGTHS)
    before = gloss_attention(query, key, value, offsets, lengths, as_released=as_released)
    for clip, length in enumerate(LENGTHS):
        for each in (query, key, value, offsets):
            each[clip, :, length:] = float("nan")
    after = gloss_attention(query, key, value, offsets, lengths, as_released=as_released)
    for clip, length in enumerate(LENGTHS):
        assert torch.equal(before[clip, :, :length], after[clip, :, :length])


def test_positions_keep_their_fractions_in_half_precision() -> None:
    offsets = torch.full((1, 1, 300, 3), 0.25, dtype=torch.bfloat16)
    lower, upper, share = neighbours(offsets, torch.tensor([300]))
    assert (lower[0, 0, 257].tolist(), upper[0, 0, 257].tolist()) == ([256, 257, 258], [257, 258, 259])
    assert share[0, 0, 257].tolist() == [0.25, 0.25, 0.25]
