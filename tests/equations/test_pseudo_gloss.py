"""Eqs 1-3: prototypes and their loss against loops over every clip, segment and pseudo-gloss in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glossfree.objectives.pseudo_gloss import (
    gloss_scores,
    localise,
    pseudo_gloss_loss,
    sigmoid_pseudo_gloss_loss,
    similarity,
)

B, S, P, W = 2, 5, 3, 7
LENGTHS = (5, 2)
TAU_P, TAU_T = 0.13, 0.29


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(B, S, W, generator=generator, dtype=torch.float64)
    return features, torch.randn(P, W, generator=generator, dtype=torch.float64)


def scores_and_targets() -> tuple[Tensor, Tensor]:
    """Scores in (0, 1) and multi-hot targets, both (3, 5)."""
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(3, 5, generator=generator) * 0.9 + 0.05
    targets = (torch.rand(3, 5, generator=generator) > 0.6).float()
    assert 0 < targets.sum() < 15
    return scores, targets


def naive_cosine(a: Tensor, b: Tensor) -> float:
    product = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(float(x) ** 2 for x in a)) / math.sqrt(sum(float(y) ** 2 for y in b))


def naive_similarity(features: Tensor, prototypes: Tensor) -> list[list[list[float]]]:
    """Eq 1, the zero vector last."""
    return [[[*(naive_cosine(step, proto) for proto in prototypes), 0.0] for step in clip] for clip in features]


def test_similarity_is_the_cosine_and_zero_for_no_sign() -> None:
    features, prototypes = inputs()
    expected = torch.tensor(naive_similarity(features, prototypes), dtype=torch.float64)
    assert expected.shape == (B, S, P + 1)
    torch.testing.assert_close(similarity(features, prototypes), expected, rtol=0, atol=1e-12)


def test_scores_are_the_sum_over_real_segments_of_both_softmaxes() -> None:
    features, prototypes = inputs()
    sims = naive_similarity(features, prototypes)
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    exact = [torch.tensor(each, dtype=torch.float64) for each in (sims, TAU_P, TAU_T)]
    timeline = localise(exact[0], mask, exact[1], exact[2])
    scores = gloss_scores(timeline)
    for clip, length in enumerate(LENGTHS):
        for gloss in range(P):
            total = 0.0
            for step in range(length):
                row = sims[clip][step]
                over_prototypes = math.exp(row[gloss] / TAU_P) / sum(math.exp(each / TAU_P) for each in row)
                column = [sims[clip][other][gloss] for other in range(length)]
                over_time = math.exp(row[gloss] / TAU_T) / sum(math.exp(each / TAU_T) for each in column)
                assert abs(float(timeline[clip, step, gloss]) - over_prototypes * over_time) < 1e-12
                total += over_prototypes * over_time
            assert abs(float(scores[clip, gloss]) - total) < 1e-12
        assert timeline[clip, length:].abs().sum() == 0, "padding took part"


def test_scores_stay_between_0_and_1() -> None:
    features, prototypes = inputs()
    everything = similarity(torch.cat([features, prototypes.expand(B, P, W)], dim=1), prototypes)
    scores = gloss_scores(localise(everything, torch.ones(B, S + P).bool(), torch.tensor(0.01), torch.tensor(0.01)))
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    assert (scores > 0.99).all(), "each prototype occurs among the features: cold softmaxes must find it"


def naive_cross_entropy(probabilities: list[list[float]], targets: Tensor) -> float:
    total = 0.0
    for clip in range(3):
        for gloss in range(5):
            probability, target = probabilities[clip][gloss], float(targets[clip, gloss])
            total -= target * math.log(probability) + (1 - target) * math.log(1 - probability)
    return total / 15


def test_eq_3_binary_cross_entropy_over_clips_and_pseudo_glosses() -> None:
    scores, targets = scores_and_targets()
    expected = naive_cross_entropy(scores.double().tolist(), targets)
    assert float(pseudo_gloss_loss(scores, targets)) == pytest.approx(expected, rel=1e-6)


def test_eq_3_as_released_has_a_sigmoid_between() -> None:
    scores, targets = scores_and_targets()
    probabilities = [[1 / (1 + math.exp(-score)) for score in row] for row in scores.double().tolist()]
    expected = naive_cross_entropy(probabilities, targets)
    assert float(sigmoid_pseudo_gloss_loss(scores, targets)) == pytest.approx(expected, rel=1e-6)
