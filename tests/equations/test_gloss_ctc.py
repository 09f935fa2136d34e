"""CTC in float64, by adding up every path, against the objective (Graves et al. 2006, eqs 2-3)."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.gloss_ctc import BLANK, GlossCtc, ctc_costs, segments_needed
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

B, E, G = 4, 7, 3
LENGTHS = (5, 3, 2, 4)
GLOSSES = ((1, 1, 3), (2, 3), (2, 2), ())  # of the third, two segments cannot hold two equal glosses
TARGETS = torch.tensor([[*row, *[-100] * (3 - len(row))] for row in GLOSSES])


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Repetitions merged, then blanks dropped."""
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


def cost(logits: torch.Tensor, glosses: tuple[int, ...]) -> float:
    """-log of the sum over all (G + 1) ** S paths; infinite if no path gives the glosses."""
    probabilities = logits.double().softmax(dim=-1).tolist()
    total = 0.0
    for path in itertools.product(range(G + 1), repeat=len(probabilities)):
        if collapse(path) == glosses:
            total += math.prod(row[label] for row, label in zip(probabilities, path, strict=True))
    return -math.log(total) if total else math.inf


def logits() -> Padded:
    values = torch.randn(B, max(LENGTHS), G + 1, generator=torch.Generator().manual_seed(3))
    return Padded(values, torch.tensor(LENGTHS))


def test_the_costs_are_those_of_all_paths() -> None:
    given = logits()
    costs = ctc_costs(given, TARGETS)
    for clip, (length, glosses) in enumerate(zip(LENGTHS, GLOSSES, strict=True)):
        expected = cost(given.values[clip, :length], glosses)
        assert float(costs[clip]) == (pytest.approx(expected, rel=1e-5) if math.isfinite(expected) else 0.0)


def test_a_clip_with_too_few_segments_costs_nothing_and_has_no_gradient() -> None:
    given = logits()
    given.values.requires_grad_()
    ctc_costs(given, TARGETS).sum().backward()
    assert segments_needed(TARGETS).tolist() == [4, 2, 3, 0]
    assert given.values.grad is not None and (given.values.grad[2] == 0).all()
    assert all((given.values.grad[clip, : LENGTHS[clip]] != 0).any() for clip in (0, 1, 3))


@pytest.mark.parametrize("average", ["clips", "glosses"])
def test_the_loss_is_the_mean_over_clips_that_have_glosses(average: str) -> None:
    torch.manual_seed(0)
    module = GlossCtc(average=average).build(Sizes(5, E, 50), Inputs(glosses=("A", "B", "C")))
    segments = Padded(torch.randn(B, max(LENGTHS), E), torch.tensor(LENGTHS))
    frames = torch.zeros(sum(LENGTHS), E)
    batch = ClipBatch(("a", "b", "c", "d"), frames, torch.tensor(LENGTHS), ("",) * B, targets={"glosses": TARGETS})
    rows = module.head(segments.values)
    costs = [cost(rows[clip, : LENGTHS[clip]], GLOSSES[clip]) for clip in range(2)] + [0.0]
    if average == "glosses":
        costs = [each / len(glosses) for each, glosses in zip(costs, GLOSSES[:3], strict=True)]
    assert float(module(Levels(segment=segments), batch).detach()) == pytest.approx(sum(costs) / 3, rel=1e-5)
    assert module.units(batch) == 3


def test_a_batch_without_any_gloss_costs_nothing() -> None:
    module = GlossCtc().build(Sizes(5, E, 50), Inputs(glosses=("A", "B", "C")))
    segments = Padded(torch.randn(2, 3, E, requires_grad=True), torch.tensor([3, 2]))
    for width in (0, 2):
        targets = torch.full((2, width), -100)
        batch = ClipBatch(("a", "b"), torch.zeros(5, E), torch.tensor([3, 2]), ("", ""), targets={"glosses": targets})
        loss = module(Levels(segment=segments), batch)
        loss.backward()
        assert float(loss.detach()) == 0 == module.units(batch)
