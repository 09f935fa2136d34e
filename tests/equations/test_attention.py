"""RoPE against complex rotation; windowed attention against dense attention with a band mask."""

from __future__ import annotations

import cmath

import pytest
import torch
from torch import Tensor

from glossfree.models.temporal.local_attention import local_attention, rotary

B, H, D = 3, 2, 6


def dense_band(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window_size: int) -> Tensor:
    """Attention with all T x T scores, those outside the band or behind the end masked, but for oneself."""
    steps = torch.arange(query.shape[2])
    band = (steps[:, None] - steps[None, :]).abs() <= window_size // 2
    seen = band[None] & (steps < lengths[:, None])[:, None, :] | torch.eye(len(steps)).bool()
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores.masked_fill(~seen[:, None], float("-inf")).softmax(-1) @ value


def triple(steps: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = torch.randn(3, B, H, steps, D, generator=torch.Generator().manual_seed(steps), dtype=dtype)
    return query, key, value


@pytest.mark.parametrize("window_size", [1, 3, 7, 11])
@pytest.mark.parametrize("steps", [*range(1, 41), 64, 65, 97])
def test_local_attention_is_dense_attention_with_a_band(steps: int, window_size: int) -> None:
    query, key, value = triple(steps)
    lengths = torch.tensor([steps, max(1, steps - 3), max(1, steps // 2)])
    local = local_attention(query, key, value, lengths, window_size)
    dense = dense_band(query, key, value, lengths, window_size)
    assert local.shape == (B, H, steps, D)
    assert local.isfinite().all()
    for clip, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(local[clip, :, :length], dense[clip, :, :length], rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [5, 33, 70])
def test_gradients_are_those_of_dense_attention(steps: int) -> None:
    inputs = [each.requires_grad_() for each in triple(steps)]
    lengths = torch.tensor([steps, steps - 2, 1])
    real = (torch.arange(steps) < lengths[:, None])[:, None, :, None]
    weights = torch.randn(B, H, steps, D, dtype=torch.float64) * real
    local = torch.autograd.grad((local_attention(*inputs, lengths, 7) * weights).sum(), inputs)
    dense = torch.autograd.grad((dense_band(*inputs, lengths, 7) * weights).sum(), inputs)
    for ours, theirs in zip(local, dense, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_padding_after_the_end_changes_nothing() -> None:
    query, key, value = triple(37)
    lengths = torch.tensor([37, 30, 4])
    before = local_attention(query, key, value, lengths, 7)
    for clip, length in enumerate(lengths.tolist()):
        for each in (query, key, value):
            each[clip, :, length:] = 1e6
    after = local_attention(query, key, value, lengths, 7)
    for clip, length in enumerate(lengths.tolist()):
        assert torch.equal(before[clip, :, :length], after[clip, :, :length])


def test_an_even_window_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        local_attention(*triple(5), torch.tensor([5, 5, 5]), 6)


def test_rotary_is_multiplication_by_a_complex_number() -> None:
    positions = torch.tensor([0, 1, 5, 40])
    features = torch.randn(2, 3, 4, D, generator=torch.Generator().manual_seed(0))
    turned = rotary(features, positions)
    for step, position in enumerate(positions.tolist()):
        for pair in range(D // 2):
            factor = cmath.exp(1j * position * 10_000 ** (-2 * pair / D))
            for clip in range(2):
                for head in range(3):
                    real, imaginary = features[clip, head, step, 2 * pair : 2 * pair + 2].tolist()
                    expected = complex(real, imaginary) * factor
                    assert turned[clip, head, step, 2 * pair].item() == pytest.approx(expected.real, abs=1e-5)
                    assert turned[clip, head, step, 2 * pair + 1].item() == pytest.approx(expected.imag, abs=1e-5)


def test_rotated_products_depend_on_the_distance_only() -> None:
    query, key = torch.randn(2, 1, 1, 1, D, generator=torch.Generator().manual_seed(2)).unbind(0)

    def product(i: int, j: int) -> float:
        return float((rotary(query, torch.tensor([i])) * rotary(key, torch.tensor([j]))).sum())

    assert product(3, 8) == pytest.approx(product(20, 25), abs=1e-4)
    assert product(3, 8) != pytest.approx(product(3, 9), abs=1e-3)
