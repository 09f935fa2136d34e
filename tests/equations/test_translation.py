"""Eq 6: the loss of a sentence's tokens against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch

from glossfree.objectives.translation import translation_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_eq_6_cross_entropy_of_real_tokens(smoothing: float) -> None:
    logits = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([[3, 0, 6, 2], [5, 1, -100, -100]])
    total, tokens = 0.0, 0
    for clip in range(2):
        for position in range(4):
            label = int(labels[clip, position])
            if label == -100:
                continue
            row = logits[clip, position].double()
            log_sum = math.log(sum(math.exp(float(each)) for each in row))
            log_probabilities = [float(each) - log_sum for each in row]
            for token in range(7):
                weight = smoothing / 7 + (1 - smoothing if token == label else 0)
                total -= weight * log_probabilities[token]
            tokens += 1
    assert tokens == 6
    assert float(translation_loss(logits, labels, smoothing)) == pytest.approx(total / tokens, rel=1e-6)
