"""Eqs 3-6: losses against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch

from glossfree.losses import (
    contrastive_divergence,
    contrastive_loss,
    pretraining_loss,
    pseudo_gloss_loss,
    sigmoid_pseudo_gloss_loss,
    translation_loss,
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_eq_3_binary_cross_entropy_over_clips_and_pseudo_glosses() -> None:
    scores = torch.rand(3, 5, generator=generator()) * 0.9 + 0.05
    targets = (torch.rand(3, 5, generator=generator()) > 0.6).float()
    assert 0 < targets.sum() < 15
    total = 0.0
    for clip in range(3):
        for gloss in range(5):
            score, target = float(scores[clip, gloss]), float(targets[clip, gloss])
            total -= target * math.log(score) + (1 - target) * math.log(1 - score)
    assert float(pseudo_gloss_loss(scores, targets)) == pytest.approx(total / 15, rel=1e-6)


def test_eq_3_as_released_has_a_sigmoid_between() -> None:
    scores = torch.rand(3, 5, generator=generator())
    targets = (torch.rand(3, 5, generator=generator()) > 0.6).float()
    total = 0.0
    for clip in range(3):
        for gloss in range(5):
            probability = 1 / (1 + math.exp(-float(scores[clip, gloss])))
            target = float(targets[clip, gloss])
            total -= target * math.log(probability) + (1 - target) * math.log(1 - probability)
    assert float(sigmoid_pseudo_gloss_loss(scores, targets)) == pytest.approx(total / 15, rel=1e-6)


def pooled() -> tuple[torch.Tensor, torch.Tensor]:
    """Video and text features (4, 6)."""
    return torch.randn(4, 6, generator=generator()), torch.randn(4, 6, generator=generator()).roll(1, 0) + 0.3


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double(), b.double()
    return float((a * b).sum()) / math.sqrt(float((a * a).sum())) / math.sqrt(float((b * b).sum()))


@pytest.mark.parametrize(("scale", "sharpness"), [(7.3, 10.0), (2.1, 3.5)])
def test_eq_4_as_released_is_a_divergence_from_a_softened_identity(scale: float, sharpness: float) -> None:
    video, text = pooled()
    directions = []
    for rows, columns in ((video, text), (text, video)):
        total = 0.0
        for i in range(4):
            wanted = [math.exp(sharpness * (i == j)) for j in range(4)]
            found = [math.exp(scale * cosine(rows[i], columns[j])) for j in range(4)]
            for j in range(4):
                q, p = wanted[j] / sum(wanted), found[j] / sum(found)
                total += q * (math.log(q) - math.log(p))
        directions.append(total / 4)
    assert abs(directions[0] - directions[1]) > 0.01  # rows and columns cannot be taken for each other
    loss = contrastive_divergence(video, text, scale, sharpness)
    assert float(loss) == pytest.approx(sum(directions) / 2, rel=1e-5)
    if sharpness == 10.0:
        assert float(contrastive_divergence(video, text, torch.tensor(scale))) == pytest.approx(float(loss))


def test_eq_4_symmetric_cross_entropy_over_cosines() -> None:
    video, text = pooled()
    scale = 7.3
    total = 0.0
    for i in range(4):
        own = math.exp(scale * cosine(video[i], text[i]))
        total -= math.log(own / sum(math.exp(scale * cosine(video[i], text[j])) for j in range(4)))  # video to text
        total -= math.log(own / sum(math.exp(scale * cosine(video[j], text[i])) for j in range(4)))  # text to video
    assert float(contrastive_loss(video, text, scale)) == pytest.approx(total / 8, rel=1e-5)
    assert float(contrastive_loss(video, text, torch.tensor(scale))) == pytest.approx(total / 8, rel=1e-5)


def test_eq_5_weights_both_terms() -> None:
    loss = pretraining_loss(torch.tensor(3.0), torch.tensor(0.5), contrastive_weight=0.7, pseudo_gloss_weight=11.0)
    assert float(loss) == pytest.approx(0.7 * 3.0 + 11.0 * 0.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_eq_6_cross_entropy_of_real_tokens(smoothing: float) -> None:
    logits = torch.randn(2, 4, 7, generator=generator())
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
