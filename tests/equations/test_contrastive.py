"""Eq 4, and its released form: clips against sentences, with loops over every pair in float64.

Clips of a step that have the same sentence may be left out of each other's negatives: a pair that is `excluded` is in
no softmax, of the logits or of the targets, whichever side asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from glossfree.objectives.contrastive import contrastive_divergence, contrastive_loss

B, E = 5, 6
Loss = Callable[..., Tensor]
NONE = torch.zeros(B, B, dtype=torch.bool)
SENTENCES = {
    "all different": (0, 1, 2, 3, 4),
    "two alike": (0, 1, 2, 1, 4),
    "three and two alike": (7, 8, 7, 8, 7),
    "one alone with its sentence": (3, 3, 3, 3, 5),
    "all alike": (2, 2, 2, 2, 2),
}


def pooled() -> tuple[Tensor, Tensor]:
    """Video and text features (5, 6), not alike in both directions."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(B, E, generator=generator), torch.randn(B, E, generator=generator).roll(1, 0) + 0.3


def excluded_by(sentences: tuple[int, ...]) -> Tensor:
    """Pairs of different clips with the same sentence (5, 5)."""
    return torch.tensor([[i != j and sentences[i] == sentences[j] for j in range(B)] for i in range(B)])


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.double(), b.double()
    return float((a * b).sum()) / math.sqrt(float((a * a).sum())) / math.sqrt(float((b * b).sum()))


def naive_cross_entropy(video: Tensor, text: Tensor, scale: float, excluded: Tensor) -> float:
    total = 0.0
    for i in range(B):
        own = math.exp(scale * cosine(video[i], text[i]))
        sentences = [math.exp(scale * cosine(video[i], text[j])) for j in range(B) if not excluded[i, j]]
        videos = [math.exp(scale * cosine(video[j], text[i])) for j in range(B) if not excluded[j, i]]
        total -= math.log(own / sum(sentences)) + math.log(own / sum(videos))
    return total / (2 * B)


def naive_divergences(
    video: Tensor, text: Tensor, scale: float, sharpness: float, excluded: Tensor
) -> tuple[float, float]:
    """KL(q || p) of both directions, q the softened identity."""
    directions = []
    for rows, columns, left_out in ((video, text, excluded), (text, video, excluded.T)):
        total = 0.0
        for i in range(B):
            compared = [j for j in range(B) if not left_out[i, j]]
            wanted = {j: math.exp(sharpness * (i == j)) for j in compared}
            logits = {j: math.exp(scale * cosine(rows[i], columns[j])) for j in compared}
            for j in compared:
                q, p = wanted[j] / sum(wanted.values()), logits[j] / sum(logits.values())
                total += q * (math.log(q) - math.log(p))
        directions.append(total / B)
    return directions[0], directions[1]


@pytest.mark.parametrize("scale", [7.3, 2.1])
def test_eq_4_symmetric_cross_entropy_over_cosines(scale: float) -> None:
    video, text = pooled()
    expected = naive_cross_entropy(video, text, scale, NONE)
    assert float(contrastive_loss(video, text, scale)) == pytest.approx(expected, rel=1e-5)
    assert float(contrastive_loss(video, text, torch.tensor(scale))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scale", "sharpness"), [(7.3, 10.0), (2.1, 3.5)])
def test_eq_4_as_released_is_a_divergence_from_a_softened_identity(scale: float, sharpness: float) -> None:
    video, text = pooled()
    directions = naive_divergences(video, text, scale, sharpness, NONE)
    assert abs(directions[0] - directions[1]) > 0.01  # rows and columns cannot be taken for each other
    loss = contrastive_divergence(video, text, scale, sharpness=sharpness)
    assert float(loss) == pytest.approx(sum(directions) / 2, rel=1e-5)
    if sharpness == 10.0:
        assert float(contrastive_divergence(video, text, torch.tensor(scale))) == pytest.approx(float(loss))


@pytest.mark.parametrize("sentences", SENTENCES.values(), ids=SENTENCES)
@pytest.mark.parametrize("scale", [7.3, 100.0])
def test_excluded_pairs_are_in_no_softmax(sentences: tuple[int, ...], scale: float) -> None:
    (video, text), excluded = pooled(), excluded_by(sentences)
    entropy = naive_cross_entropy(video, text, scale, excluded)
    assert float(contrastive_loss(video, text, scale, excluded)) == pytest.approx(entropy, rel=1e-5, abs=1e-6)
    divergence = sum(naive_divergences(video, text, scale, 3.5, excluded)) / 2
    loss = contrastive_divergence(video, text, scale, excluded, 3.5)
    assert float(loss) == pytest.approx(divergence, rel=1e-5, abs=1e-6)


def test_a_pair_may_be_excluded_in_one_direction_only() -> None:
    (video, text), excluded = pooled(), NONE.clone()
    excluded[1, 3] = excluded[4, 0] = excluded[4, 2] = True
    expected = naive_cross_entropy(video, text, 7.3, excluded)
    assert expected != pytest.approx(naive_cross_entropy(video, text, 7.3, excluded.T), rel=1e-3)
    assert float(contrastive_loss(video, text, 7.3, excluded)) == pytest.approx(expected, rel=1e-5)
    expected = sum(naive_divergences(video, text, 7.3, 3.5, excluded)) / 2
    assert float(contrastive_divergence(video, text, 7.3, excluded, 3.5)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [contrastive_loss, contrastive_divergence])
def test_no_gradient_flows_through_excluded_pairs(loss: Loss) -> None:
    """Exactly 0, and not nearly: any rest would push the same sentence apart in every step."""
    excluded = excluded_by((0, 1, 0, 3, 0))
    # video i has component i alone, and only sentence j has component B + j: the gradient of video i in component
    # B + j is that of the cosine of i and j, whatever the length of both
    mixed = torch.rand(B, B, generator=torch.Generator().manual_seed(1)) + torch.eye(B)
    text = torch.cat([mixed, torch.eye(B)], dim=1)
    for scale in (7.3, 100.0):
        video = torch.cat([2.0 * torch.eye(B), torch.zeros(B, B)], dim=1).requires_grad_()
        loss(video, text, scale, excluded).backward()
        assert video.grad is not None
        pairs = video.grad[:, B:]
        assert (pairs[excluded] == 0).all() and int(excluded.sum()) == 6
        if scale < 100:  # there a softmax rounds to 0 itself
            assert (pairs[~excluded].abs() > 1e-5).all()


@pytest.mark.parametrize("loss", [contrastive_loss, contrastive_divergence])
def test_a_step_with_one_sentence_has_no_gradient(loss: Loss) -> None:
    video, text = (each.requires_grad_() for each in pooled())
    value = loss(video, text, torch.tensor(5.0), excluded_by((1, 1, 1, 1, 1)))
    value.backward()
    assert float(value.detach()) == 0
    assert video.grad is not None and (video.grad == 0).all()
    assert text.grad is not None and (text.grad == 0).all()
