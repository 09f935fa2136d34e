"""Videos against sentences: what is pooled and compared, and the losses at their edges; eq 4 is in tests/equations."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.contrastive import (
    Contrastive,
    ContrastiveLoss,
    contrastive_divergence,
    contrastive_loss,
    number_of,
)
from glossfree.padded import Padded

E = 18
LENGTHS = torch.tensor([5, 3, 1])
TEXTS = ("es taut", "morgen schneit es", "es taut")


def features() -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(2)
    return {text: torch.randn(E, generator=source) for text in sorted(set(TEXTS))}


def video() -> Padded:
    return Padded(torch.randn(3, 5, E, generator=torch.Generator().manual_seed(1)), LENGTHS)


def build(**options: object) -> ContrastiveLoss:
    torch.manual_seed(0)
    return Contrastive(**options).build(Sizes(14, E, 53), Inputs(text_features=features()))


BATCH = SimpleNamespace(texts=TEXTS, labels=torch.tensor([[5, 6, 2, 45], [7, 2, 45, -100], [5, 6, 2, 45]]))


def test_averages_of_videos_are_compared_with_sentence_features() -> None:
    pooled, text, numbers = build().features(Levels(video=video()), BATCH)
    torch.testing.assert_close(pooled, video().mean())
    assert all(torch.equal(row, features()[sentence]) for row, sentence in zip(text, TEXTS, strict=True))
    assert numbers[0] == numbers[2] != numbers[1]


def test_pooling_may_use_the_token_alone() -> None:
    pooled, _, _ = build(pooling="first").features(Levels(video=video()), BATCH)
    assert torch.equal(pooled, video().values[:, 0])
    assert list(Contrastive(pooling="first", token=False).problems()) != []
    assert list(Contrastive(pooling="first").problems()) == list(Contrastive(token=False).problems()) == []


def test_the_learned_token_is_the_prefix_and_may_be_left_out() -> None:
    assert build().prefix.shape == (1, E) and build().prefix.requires_grad
    assert build(token=False).prefix is None
    assert {name for name, _ in build(token=False).named_parameters()} == {"logit_scale"}


def test_averages_over_padding_ask_the_text_encoder_for_the_batch() -> None:
    """Rows of both sides then depend on the longest beside them."""
    options = Contrastive(average_padding=True)
    assert options.needs == ("text_encoder",) and Contrastive().needs == ("text_features",)
    tokens = Padded(torch.randn(3, 4, E), torch.tensor([4, 3, 4]))
    asked: list[Tensor] = []
    encoder = lambda labels: asked.append(labels) or tokens  # noqa: E731
    loss = options.build(Sizes(14, E, 53), Inputs(text_encoder=encoder))
    pooled, text, _ = loss.features(Levels(video=video()), BATCH)
    torch.testing.assert_close(pooled, sum(video().values[:, step] for step in range(5)) / 5)
    torch.testing.assert_close(text, sum(tokens.values[:, step] for step in range(4)) / 4)
    assert len(asked) == 1 and asked[0] is BATCH.labels


@pytest.mark.parametrize("name", ["cross_entropy", "divergence"])
@pytest.mark.parametrize("equal_sentences", ["left_out", "negatives"])
def test_equal_sentences_are_compared_or_left_out_as_the_recipe_says(name: str, equal_sentences: str) -> None:
    module = build(loss=name, equal_sentences=equal_sentences, identity_sharpness=3.5, logit_scale=6.0)
    compared = module.features(Levels(video=video()), BATCH)
    excluded = torch.zeros(3, 3, dtype=torch.bool)
    if equal_sentences == "left_out":
        excluded[0, 2] = excluded[2, 0] = True
    pooled, text = compared[:2]
    if name == "cross_entropy":
        expected = contrastive_loss(pooled, text, 6.0, excluded)
    else:
        expected = contrastive_divergence(pooled, text, 6.0, excluded, 3.5)
        assert expected != contrastive_divergence(pooled, text, 6.0, excluded)
    torch.testing.assert_close(module(*compared), expected)


def test_a_sentence_has_the_same_number_in_every_process_and_another_sentence_another() -> None:
    sentences = [f"satz {number}" for number in range(3000)]
    numbers = [number_of(sentence) for sentence in sentences]
    assert len(set(numbers)) == 3000 and all(0 <= number < 2**63 for number in numbers)
    assert number_of("es taut") == 2391125396018062821, "unlike hash(), which each process salts"


def test_logit_scale_is_kept_at_100_at_most() -> None:
    module = build(logit_scale=20.0)
    assert module.scale().item() == pytest.approx(20.0)
    with torch.no_grad():
        module.logit_scale.fill_(9.0)
    assert module.scale().item() == pytest.approx(100.0)
    assert module.logit_scale.item() == pytest.approx(math.log(100))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_to_float32(dtype: torch.dtype) -> None:
    rows = torch.randn(3, 5).to(dtype)
    assert contrastive_loss(rows, rows, 2.0).dtype == torch.float32
    assert contrastive_divergence(rows, rows, 2.0).dtype == torch.float32


def test_contrastive_loss_starts_at_chance_and_falls_to_zero() -> None:
    same = torch.ones(5, 3)
    assert float(contrastive_loss(same, same, 10.0)) == pytest.approx(math.log(5))
    apart = torch.eye(5)
    assert contrastive_loss(apart, apart, 100.0) < 1e-6
    assert contrastive_loss(apart, apart.roll(1, 0), 100.0) > 50


def test_the_divergence_is_least_where_pairs_are_apart_by_the_sharpness() -> None:
    apart = torch.eye(5)
    values = [float(contrastive_divergence(apart, apart, scale, sharpness=4.0)) for scale in (1.0, 3.9, 4.0, 4.1, 30.0)]
    assert values[2] == pytest.approx(0.0, abs=1e-6)
    assert values[0] > values[1] > values[2] < values[3] < values[4]
    # cross-entropy has no such end
    assert contrastive_loss(apart, apart, 30.0) < contrastive_loss(apart, apart, 4.0)


def test_contrastive_loss_ignores_lengths_of_vectors_and_treats_both_sides_alike() -> None:
    rows, text = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).unbind(0)
    loss = contrastive_loss(rows, text, 5.0)
    torch.testing.assert_close(loss, contrastive_loss(rows * 3, text / 7, 5.0))
    torch.testing.assert_close(loss, contrastive_loss(text, rows, 5.0))


def test_shapes_that_do_not_fit_are_refused() -> None:
    for loss in (contrastive_loss, contrastive_divergence):
        with pytest.raises(ValueError, match="shape"):
            loss(torch.rand(2, 3), torch.rand(3, 3), 1.0)


def test_a_single_clip_is_refused() -> None:
    for loss in (contrastive_loss, contrastive_divergence):
        with pytest.raises(ValueError, match="1 clip: at least two"):
            loss(torch.rand(1, 3), torch.rand(1, 3), 1.0)


def test_autocast_does_not_round_the_cosines() -> None:
    rows, text = torch.randn(2, 6, 40, generator=torch.Generator().manual_seed(0)).unbind(0)
    expected = contrastive_loss(rows, text, 100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (rows @ text.T).dtype == torch.bfloat16
        assert contrastive_loss(rows, text, 100.0) == expected
