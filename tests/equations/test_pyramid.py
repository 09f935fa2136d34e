"""TSPNet's pyramid against loops over windows and pairs of windows in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glossfree.models.temporal.pyramid import Pyramid, PyramidModule, num_windows, sees, window_means
from glossfree.padded import Padded

D, E, H = 12, 7, 3
LENGTHS = (23, 13, 8, 5, 1)
WINDOWS = (8, 12, 16)


def frames_of(length: int) -> Tensor:
    return torch.randn(length, D, generator=torch.Generator().manual_seed(length), dtype=torch.float64)


def padded(rubbish: float = 0.0) -> Padded:
    clips = torch.nn.utils.rnn.pad_sequence(
        [frames_of(length) for length in LENGTHS], batch_first=True, padding_value=rubbish
    )
    return Padded(clips, torch.tensor(LENGTHS))


def naive_windows(length: int, width: int) -> list[range]:
    """Every second frame begins a window, until one reaches the end of the clip."""
    windows = []
    for start in range(0, length, 2):
        windows.append(range(start, min(start + width, length)))
        if start + width >= length:
            break
    return windows


def one_within_another(one: range, other: range) -> bool:
    return set(one) <= set(other) or set(other) <= set(one)


def module(num_layers: int = 2) -> PyramidModule:
    torch.manual_seed(0)
    options = Pyramid(hidden_size=D, num_heads=H, mlp_size=10, num_layers=num_layers, windows=WINDOWS)
    return options.build(E).double().eval()


@pytest.mark.parametrize("width", [2, 3, 8, 12, 16])
def test_a_window_is_the_mean_of_its_frames(width: int) -> None:
    means = window_means(padded(rubbish=float("nan")), width)
    for clip, length in enumerate(LENGTHS):
        windows = naive_windows(length, width)
        assert int(means.lengths[clip]) == len(windows) == int(num_windows(torch.tensor(length), width))
        for number, window in enumerate(windows):
            expected = frames_of(length)[list(window)].mean(dim=0)
            torch.testing.assert_close(means.values[clip, number], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 7, 8, 12, 16, 20, 40])
def test_windows_of_two_levels_see_each_other_where_one_lies_within_the_other(length: int) -> None:
    levels = [naive_windows(length, width) for width in WINDOWS]
    seen = sees(WINDOWS, [len(windows) for windows in levels])
    windows = [(level, window) for level, of_level in enumerate(levels) for window in of_level]
    for row, (a, one) in enumerate(windows):
        for column, (b, other) in enumerate(windows):
            assert bool(seen[row, column]) == (a == b or one_within_another(one, other)), (one, other)


def naive_layer(layer: torch.nn.TransformerEncoderLayer, rows: list[Tensor], seen: list[list[bool]]) -> list[Tensor]:
    """Post-norm: x = LN(x + attention(x)); x = LN(x + MLP(x))."""
    weights, biases = layer.self_attn.in_proj_weight.split(D), layer.self_attn.in_proj_bias.split(D)
    queries, keys, values = (
        [weight @ row + bias for row in rows] for weight, bias in zip(weights, biases, strict=True)
    )
    size, results = D // H, []
    for i, row in enumerate(rows):
        heads = []
        for head in range(H):
            part = slice(head * size, (head + 1) * size)
            others = [j for j in range(len(rows)) if seen[i][j]]
            powers = [math.exp(float(queries[i][part] @ keys[j][part]) / math.sqrt(size)) for j in others]
            heads.append(sum(p * values[j][part] for p, j in zip(powers, others, strict=True)) / sum(powers))
        row = layer.norm1(row + layer.self_attn.out_proj(torch.cat(heads)))
        results.append(layer.norm2(row + layer.linear2(functional.gelu(layer.linear1(row)))))
    return results


@torch.no_grad()
def test_the_module_is_layers_over_all_windows_of_which_the_finest_remain() -> None:
    pyramid, result = module(), module()(padded(rubbish=1e3))
    for clip, length in enumerate(LENGTHS):
        windows = [
            (level, i, window) for level, w in enumerate(WINDOWS) for i, window in enumerate(naive_windows(length, w))
        ]
        rows = []
        for _, number, window in windows:
            row = frames_of(length)[list(window)].mean(dim=0)
            for column in range(D):
                angle = number / 10_000 ** (2 * (column // 2) / D)
                row[column] += math.sin(angle) if column % 2 == 0 else math.cos(angle)
            rows.append(row)
        seen = [[a == b or one_within_another(v, w) for b, _, w in windows] for a, _, v in windows]
        for layer in pyramid.layers:
            rows = naive_layer(layer, rows, seen)
        finest = torch.stack(
            [pyramid.output(row) for row, (level, _, _) in zip(rows, windows, strict=True) if level == 0]
        )
        assert int(result.lengths[clip]) == len(finest)
        torch.testing.assert_close(result.values[clip, : len(finest)], finest, rtol=0, atol=1e-6)
