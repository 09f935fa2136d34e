"""Padded: lengths are the truth, whatever stands behind a sequence's end."""

from __future__ import annotations

import pytest
import torch

from glossfree.padded import Padded

LENGTHS = torch.tensor([3, 11, 1, 7])
WIDTH = 5


def padded(fill: float = 0.0) -> Padded:
    """B = 4, T = 13 (longer than the longest), D = 5; `fill` behind every end."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(4, 13, WIDTH, generator=generator, dtype=torch.float64)
    for row, length in enumerate(LENGTHS.tolist()):
        values[row, length:] = fill
    return Padded(values, LENGTHS)


def test_the_mask_is_true_for_the_first_lengths_steps() -> None:
    mask = padded().mask
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[step < length for step in range(13)] for length in LENGTHS.tolist()]


def test_the_mean_is_that_of_the_real_steps_and_ignores_padding() -> None:
    clean, dirty = padded(), padded(fill=1e6)
    expected = torch.stack([clean.values[row, :length].mean(0) for row, length in enumerate(LENGTHS.tolist())])
    torch.testing.assert_close(clean.mean(), expected)
    torch.testing.assert_close(dirty.mean(), expected)


def test_the_mean_of_a_sequence_of_length_zero_is_zero() -> None:
    mean = Padded(torch.ones(2, 3, WIDTH), torch.tensor([0, 3])).mean()
    assert mean.tolist() == [[0.0] * WIDTH, [1.0] * WIDTH]


def test_a_mean_over_padding_too_is_that_of_all_steps() -> None:
    clean, dirty = padded(), padded(fill=1e6)
    for each in (clean, dirty):
        expected = torch.stack([sum(row[step] for step in range(13)) / 13 for row in each.values])
        torch.testing.assert_close(each.mean(padding=True), expected)
    assert not torch.allclose(clean.mean(padding=True), clean.mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_mean_keeps_the_type(dtype: torch.dtype) -> None:
    assert Padded(torch.ones(2, 3, WIDTH, dtype=dtype), torch.tensor([2, 3])).mean().dtype == dtype


def test_pack_holds_the_real_rows_clip_after_clip() -> None:
    value = padded(fill=9.0)
    expected = torch.cat([value.values[row, :length] for row, length in enumerate(LENGTHS.tolist())])
    assert value.pack().shape == (22, WIDTH)
    assert torch.equal(value.pack(), expected)


def test_unpack_inverts_pack_with_zeros_behind_every_end() -> None:
    back = Padded.unpack(padded(fill=9.0).pack(), LENGTHS)
    assert back.values.shape == (4, 11, WIDTH)
    assert torch.equal(back.values, padded().values[:, :11])
    assert torch.equal(back.lengths, LENGTHS)


def test_unpack_of_nothing_is_nothing() -> None:
    back = Padded.unpack(torch.zeros(0, WIDTH), torch.zeros(0, dtype=torch.long))
    assert back.values.shape == (0, 0, WIDTH)


def test_gradients_pass_through_unpack_and_mean() -> None:
    packed = torch.randn(22, WIDTH, requires_grad=True)
    Padded.unpack(packed, LENGTHS).mean().sum().backward()
    expected = torch.repeat_interleave(1 / LENGTHS, LENGTHS)[:, None].expand(22, WIDTH)
    torch.testing.assert_close(packed.grad, expected)


def test_other_values_keep_the_lengths() -> None:
    wider = padded().with_values(torch.zeros(4, 13, 2))
    assert wider.values.shape == (4, 13, 2)
    assert wider.lengths is LENGTHS


def test_a_padded_of_other_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B,T,D\)"):
        Padded(torch.zeros(4, 13), LENGTHS)
    with pytest.raises(ValueError, match=r"\(B,T,D\)"):
        Padded(torch.zeros(3, 13, WIDTH), LENGTHS)


@pytest.mark.parametrize("shape", [(21, WIDTH), (23, WIDTH), (22,), (22, WIDTH, 1)])
def test_rows_that_do_not_make_the_lengths_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="N = 22"):
        Padded.unpack(torch.zeros(shape), LENGTHS)
