"""Losses at their edges; the equations themselves are in tests/equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from glossfree.losses import (
    contrastive_divergence,
    contrastive_loss,
    pseudo_gloss_loss,
    sigmoid_pseudo_gloss_loss,
    translation_loss,
)


def test_certain_scores_cost_a_finite_amount_and_keep_gradients_finite() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.5]], requires_grad=True)
    loss = pseudo_gloss_loss(scores, torch.tensor([[1.0, 0.0, 1.0]]))
    loss.backward()
    assert loss.isfinite()
    assert loss > 9
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_right_scores_cost_nothing() -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert pseudo_gloss_loss(targets, targets) < 1e-5


def test_behind_a_sigmoid_scores_that_are_all_wrong_and_all_right_are_close_to_ln_2() -> None:
    targets = torch.zeros(3, 211)
    targets[:, :5] = 1.0
    best, nothing = sigmoid_pseudo_gloss_loss(targets, targets), sigmoid_pseudo_gloss_loss(0 * targets, targets)
    assert float(nothing) == pytest.approx(math.log(2), rel=1e-6)
    assert 0.98 < float(best / nothing) < 1
    assert pseudo_gloss_loss(targets, targets) < 1e-5
    assert float(sigmoid_pseudo_gloss_loss(torch.ones(1, 1), torch.ones(1, 1))) == pytest.approx(0.3133, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_to_float32(dtype: torch.dtype) -> None:
    scores = torch.tensor([[1.0, 0.0]], dtype=dtype)
    assert pseudo_gloss_loss(scores, torch.tensor([[0.0, 1.0]])).dtype == torch.float32
    assert pseudo_gloss_loss(scores, torch.tensor([[0.0, 1.0]])).isfinite()
    features = torch.randn(3, 5).to(dtype)
    assert contrastive_loss(features, features, 2.0).dtype == torch.float32
    assert contrastive_divergence(features, features, 2.0).dtype == torch.float32
    assert sigmoid_pseudo_gloss_loss(scores, torch.tensor([[0.0, 1.0]])).dtype == torch.float32
    assert translation_loss(torch.randn(1, 2, 7).to(dtype), torch.tensor([[1, 2]])).dtype == torch.float32


def test_contrastive_loss_starts_at_chance_and_falls_to_zero() -> None:
    same = torch.ones(5, 3)
    assert float(contrastive_loss(same, same, 10.0)) == pytest.approx(math.log(5))
    apart = torch.eye(5)
    assert contrastive_loss(apart, apart, 100.0) < 1e-6
    assert contrastive_loss(apart, apart.roll(1, 0), 100.0) > 50


def test_a_divergence_is_least_where_pairs_are_apart_as_far_as_the_identity_is_sharp() -> None:
    apart = torch.eye(5)
    values = [float(contrastive_divergence(apart, apart, scale, 4.0)) for scale in (1.0, 3.9, 4.0, 4.1, 30.0)]
    assert values[2] == pytest.approx(0.0, abs=1e-6)
    assert values[0] > values[1] > values[2] < values[3] < values[4]
    # cross-entropy has no such end
    assert contrastive_loss(apart, apart, 30.0) < contrastive_loss(apart, apart, 4.0)


def test_contrastive_loss_ignores_lengths_of_vectors_and_treats_both_sides_alike() -> None:
    video, text = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).unbind(0)
    loss = contrastive_loss(video, text, 5.0)
    torch.testing.assert_close(loss, contrastive_loss(video * 3, text / 7, 5.0))
    torch.testing.assert_close(loss, contrastive_loss(text, video, 5.0))


def test_translation_loss_is_torchs_label_smoothing() -> None:
    logits = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, 3, -100, -100], [8, 7, 6, 5, 4]])
    expected = functional.cross_entropy(logits.transpose(1, 2), labels, label_smoothing=0.2)
    torch.testing.assert_close(translation_loss(logits, labels, 0.2), expected)
    logits[0, 3:] = 1e4
    torch.testing.assert_close(translation_loss(logits, labels, 0.2), expected)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        pseudo_gloss_loss(torch.rand(2, 3), torch.rand(2, 1))
    with pytest.raises(ValueError, match="shape"):
        contrastive_loss(torch.rand(2, 3), torch.rand(3, 3), 1.0)
    with pytest.raises(ValueError, match="shape"):
        contrastive_divergence(torch.rand(2, 3), torch.rand(3, 3), 1.0)
    with pytest.raises(ValueError, match="shape"):
        sigmoid_pseudo_gloss_loss(torch.rand(2, 3), torch.rand(2, 1))
    with pytest.raises(ValueError, match="labels"):
        translation_loss(torch.rand(2, 3, 4), torch.zeros(2, 4).long())


def test_a_clip_alone_is_refused_not_worth_nothing() -> None:
    for loss in (contrastive_loss, contrastive_divergence):
        with pytest.raises(ValueError, match="1 clip cannot be compared"):
            loss(torch.rand(1, 3), torch.rand(1, 3), 1.0)


def test_autocast_does_not_round_the_cosines() -> None:
    video, text = torch.randn(2, 6, 40, generator=torch.Generator().manual_seed(0)).unbind(0)
    expected = contrastive_loss(video, text, 100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (video @ text.T).dtype == torch.bfloat16
        assert contrastive_loss(video, text, 100.0) == expected
