"""SignCL's loss (Ye et al. 2024, eqs 4-6) against loops over every clip, frame and negative in float64."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.sign_contrast import SignContrast, far_frames, sign_contrast_loss
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

D, K = 14, 3
LENGTHS, TOKENS = (31, 19, 7, 1), (4, 7, 3, 2)  # the third clip is too short for negatives of its middle frames


def features(dtype: torch.dtype = torch.float64) -> Tensor:
    """Frames (58, 14) of four clips: a slow walk, so that neighbours are closer than frames far apart."""
    steps = torch.randn(sum(LENGTHS), D, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return (0.4 * steps.cumsum(0) + 0.3 * steps.roll(1, 1) + 2.0).to(dtype)


def batch_of(packed: Tensor) -> ClipBatch:
    labels = torch.full((len(TOKENS), max(TOKENS) + 2), IGNORED)
    for clip, tokens in enumerate(TOKENS):
        labels[clip, : tokens + 2] = torch.arange(5, tokens + 7)
    ids = tuple(f"clip{number}" for number in range(len(LENGTHS)))
    return ClipBatch(ids, packed, torch.tensor(LENGTHS), ids, labels, level="frame_features")


def naive_distance(a: Tensor, b: Tensor, distance: str) -> float:
    differences = [abs(float(x) - float(y)) for x, y in zip(a, b, strict=True)]
    return sum(differences) if distance == "l1" else math.sqrt(sum(each**2 for each in differences))


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def naive_negatives(frame: int, length: int, reach: float) -> list[int]:
    """In evaluation: the allowed frames, cut into K parts, and one of each, at multiples of the golden ratio."""
    allowed = [other for other in range(length) if abs(frame - other) > 2 * reach]
    draw = frame * (math.sqrt(5) - 1) / 2 % 1
    return [allowed[int((k + draw) * len(allowed) / K)] for k in range(K)] if allowed else []


def naive_loss(packed: Tensor, options: SignContrast) -> float:
    """Everything from the frames (N, D) and the module's constants."""
    total, start = 0.0, 0
    for length, tokens in zip(LENGTHS, TOKENS, strict=True):
        clip = packed[start : start + length].double()
        start += length
        pairs = [naive_distance(clip[i], clip[j], options.distance) for i in range(length) for j in range(i)]
        scale = sum(pairs) / len(pairs) if options.scale_free and pairs else 1.0
        reach = max(options.min_reach, options.zipf * length / tokens)
        for i in range(length):
            near = [
                naive_distance(clip[i], clip[j], options.distance) / scale for j in (i - 1, i + 1) if 0 <= j < length
            ]
            far = [
                naive_distance(clip[i], clip[j], options.distance) / scale for j in naive_negatives(i, length, reach)
            ]
            if options.loss == "hinge":
                far = [max(0.0, options.margin - each) for each in far]
            else:
                near = [softplus(each - options.margin) for each in near]
                far = [softplus(options.margin - each) for each in far]
            total += sum(near) / max(len(near), 1) + sum(far) / max(len(far), 1)
    return total / sum(LENGTHS)


@pytest.mark.parametrize("distance", ["l2", "l1"])
@pytest.mark.parametrize("form", ["hinge", "softplus"])
@pytest.mark.parametrize("scale_free", [True, False])
def test_the_loss_of_a_batch(
    distance: Literal["l2", "l1"], form: Literal["hinge", "softplus"], scale_free: bool
) -> None:
    margin = 1.3 if scale_free else {"l2": 11.0, "l1": 35.0}[distance]
    options = SignContrast(
        distance=distance, loss=form, scale_free=scale_free, margin=margin, negatives=K, zipf=0.7, min_reach=2
    )
    packed = features(torch.float32)
    loss = options.build(Sizes(D, 9, 50), Inputs()).eval()
    batch = batch_of(packed)
    levels = Levels(frame=Padded.unpack(packed, batch.lengths))
    expected = naive_loss(packed, options)
    assert float(loss(levels, batch)) == pytest.approx(expected, rel=1e-5)
    without = naive_loss(packed, options.model_copy(update={"min_reach": 99}))
    assert expected - without > 0.05 * expected, "negatives cost too little to be tested"


def test_any_draws_in_float64() -> None:
    """The pure functions keep float64, and negatives are those that the draws say."""
    generator = torch.Generator().manual_seed(8)
    frames, lengths = Padded.unpack(features(), torch.tensor(LENGTHS)), torch.tensor(LENGTHS)
    gaps, scale = torch.tensor([11, 5, 5, 5]), torch.tensor([1.7, 0.6, 1.1, 1.0], dtype=torch.float64)
    draws = torch.rand(4, 31, K, generator=generator, dtype=torch.float64)
    negatives, exist = far_frames(lengths, gaps, draws)
    result = sign_contrast_loss(frames, negatives, exist, scale, 9.0, 2, "hinge")
    assert result.dtype == torch.float64
    total = 0.0
    for clip, length in enumerate(LENGTHS):
        values = frames.values[clip]
        for i in range(length):
            near = [naive_distance(values[i], values[j], "l2") for j in (i - 1, i + 1) if 0 <= j < length]
            total += sum(near) / float(scale[clip]) / max(len(near), 1)
            allowed = [j for j in range(length) if abs(i - j) >= int(gaps[clip])]
            assert bool(exist[clip, i]) == bool(allowed)
            for k in range(K if allowed else 0):
                j = allowed[int((k + float(draws[clip, i, k])) * len(allowed) / K)]
                assert int(negatives[clip, i, k]) == j
                total += max(0.0, 9.0 - naive_distance(values[i], values[j], "l2") / float(scale[clip])) / K
        assert not exist[clip, length:].any()
    assert float(result) == pytest.approx(total / sum(LENGTHS), rel=1e-12)
