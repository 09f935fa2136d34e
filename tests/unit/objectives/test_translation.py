"""The loss of a sentence's tokens at its edges; the equation itself is in tests/equations."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.translation import Translation, translation_loss

LABELS = torch.tensor([[1, 2, 3, -100, -100], [8, 7, 6, 5, 4]])


def logits() -> torch.Tensor:
    return torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0))


def test_it_is_torchs_label_smoothing() -> None:
    values = logits()
    expected = functional.cross_entropy(values.transpose(1, 2), LABELS, label_smoothing=0.2)
    torch.testing.assert_close(translation_loss(values, LABELS, 0.2), expected)
    values[0, 3:] = 1e4
    torch.testing.assert_close(translation_loss(values, LABELS, 0.2), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_to_float32(dtype: torch.dtype) -> None:
    assert translation_loss(logits().to(dtype), LABELS).dtype == torch.float32


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        translation_loss(torch.rand(2, 3, 4), torch.zeros(2, 4).long())


def test_the_objective_smooths_as_its_options_say_and_counts_tokens() -> None:
    batch = SimpleNamespace(labels=LABELS)
    for smoothing in (0.0, 0.3):
        loss = Translation(label_smoothing=smoothing).build(Sizes(14, 18, 9), Inputs())
        assert loss(Levels(logits=logits()), batch) == translation_loss(logits(), LABELS, smoothing)
        assert loss.units(batch) == 8
        assert list(loss.parameters()) == []
