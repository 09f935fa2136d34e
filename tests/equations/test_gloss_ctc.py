"""CTC in float64, by adding up every path, against the objective (Graves et al. 2006, eqs 2-3)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.gloss_ctc import (
    BLANK,
    GlossCtc,
    StreamCtcLoss,
    best_path,
    ctc_costs,
    divergences,
    prefix_beams,
    recognise,
    segments_needed,
)
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


@pytest.mark.parametrize("average", ["clips", "glosses", "tokens"])
def test_the_loss_is_the_mean_over_clips_that_have_glosses(average: str) -> None:
    torch.manual_seed(0)
    module = GlossCtc(average=average).build(Sizes(5, E, 50), Inputs(glosses=("A", "B", "C")))
    segments = Padded(torch.randn(B, max(LENGTHS), E), torch.tensor(LENGTHS))
    frames = torch.zeros(sum(LENGTHS), E)
    tokens = (3, 5, 2, 4)
    labels = torch.tensor([[*[7] * count, *[-100] * (5 - count)] for count in tokens])
    ids = ("a", "b", "c", "d")
    batch = ClipBatch(ids, frames, torch.tensor(LENGTHS), ("",) * B, labels, targets={"glosses": TARGETS})
    rows = module.head(segments.values)
    costs = [cost(rows[clip, : LENGTHS[clip]], GLOSSES[clip]) for clip in range(2)] + [0.0]
    if average == "glosses":
        costs = [each / len(glosses) for each, glosses in zip(costs, GLOSSES[:3], strict=True)]
    if average == "tokens":
        costs = [each / count for each, count in zip(costs, tokens[:3], strict=True)]
    assert float(module(Levels(segment=segments), batch).detach()) == pytest.approx(sum(costs) / 3, rel=1e-5)
    assert module.units(batch) == 3


@pytest.mark.parametrize("distillation", [0.0, 0.7])
def test_two_streams_cost_the_sum_of_three_heads_and_their_distance_from_the_mean(distillation: float) -> None:
    torch.manual_seed(0)
    options = GlossCtc(streams=True, distillation=distillation)
    module = options.build(Sizes(5, E, 50), Inputs(glosses=("A", "B", "C")))
    assert isinstance(module, StreamCtcLoss)
    lengths = torch.tensor(LENGTHS)
    joint, video, points = (Padded(3 * torch.randn(B, max(LENGTHS), E), lengths) for _ in range(3))
    frames = torch.zeros(sum(LENGTHS), E)
    batch = ClipBatch(("a", "b", "c", "d"), frames, lengths, ("",) * B, targets={"glosses": TARGETS})
    heads = ((module.head, joint), (module.video_head, video), (module.keypoint_head, points))
    rows = [head(segments.values).detach() for head, segments in heads]
    total = 0.0
    for clip in range(3):  # the fourth has no glosses
        total += sum(cost(each[clip, : LENGTHS[clip]], GLOSSES[clip]) for each in rows) if clip < 2 else 0.0
        for segment in range(LENGTHS[clip]):
            posteriors = [each[clip, segment].double().softmax(dim=0).tolist() for each in rows]
            for label in range(G + 1):
                mean = sum(each[label] for each in posteriors) / 3
                total += distillation * sum(mean * math.log(mean / each[label]) for each in posteriors)
    loss = module(Levels(segment=joint, streams=(video, points)), batch)
    assert float(loss.detach()) == pytest.approx(total / 3, rel=1e-5) and module.units(batch) == 3


def test_the_mean_of_the_heads_teaches_and_does_not_learn() -> None:
    """The gradient of KL(q || p_h) towards the logits of head h is p_h - q, as if q were a constant."""
    given = [logits(), Padded(logits().values.flip(1).clone(), torch.tensor(LENGTHS)), logits()]
    for each in given:
        each.values.requires_grad_()
    divergences(given).sum().backward()
    posteriors = [each.values.detach().softmax(dim=-1) for each in given]
    mean = sum(posteriors) / 3
    for each, own in zip(given, posteriors, strict=True):
        assert each.values.grad is not None
        assert torch.allclose(each.values.grad[each.mask], (own - mean)[each.mask], atol=1e-6)
        assert (each.values.grad[~each.mask] == 0).all()


def test_a_batch_without_any_gloss_costs_nothing() -> None:
    module = GlossCtc().build(Sizes(5, E, 50), Inputs(glosses=("A", "B", "C")))
    segments = Padded(torch.randn(2, 3, E, requires_grad=True), torch.tensor([3, 2]))
    for width in (0, 2):
        targets = torch.full((2, width), -100)
        batch = ClipBatch(("a", "b"), torch.zeros(5, E), torch.tensor([3, 2]), ("", ""), targets={"glosses": targets})
        loss = module(Levels(segment=segments), batch)
        loss.backward()
        assert float(loss.detach()) == 0 == module.units(batch)


def probabilities(seed: int, segments: int, glosses: int = G) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(glosses + 1, 0.6), segments)


def by_sequence(rows: np.ndarray) -> dict[tuple[int, ...], float]:
    """Gloss sequences -> the sum of the probabilities of all their paths."""
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        sums[collapse(path)] = sums.get(collapse(path), 0.0) + math.prod(rows[range(len(rows)), path])
    return sums


def test_a_beam_for_every_sequence_finds_the_most_probable_one() -> None:
    differs = 0
    for seed in range(25):
        rows = probabilities(seed, 5)
        sums = by_sequence(rows)
        best = max(sums, key=lambda sequence: sums[sequence])
        assert prefix_beams(np.log(rows), 1000) == [*best]
        differs += best != tuple(best_path(np.log(rows)))
    assert differs  # so it is not the best path's


def test_few_beams_keep_the_best_prefixes_of_all_glosses() -> None:
    """The same search with every gloss as continuation, in probabilities instead of logarithms."""
    for seed, beams in itertools.product(range(12), (2, 3, 4)):
        rows = probabilities(seed, 6, 9)
        kept = {(): (1.0, 0.0)}
        for row in rows:
            new: dict[tuple[int, ...], list[float]] = {}
            for prefix, (blank, gloss) in kept.items():
                own = new.setdefault(prefix, [0.0, 0.0])
                own[0] += (blank + gloss) * row[0]
                own[1] += gloss * row[prefix[-1]] if prefix else 0.0
                for label in range(1, 10):
                    repeats = bool(prefix) and prefix[-1] == label
                    new.setdefault((*prefix, label), [0.0, 0.0])[1] += (blank if repeats else blank + gloss) * row[
                        label
                    ]
            ranked = sorted(new, key=lambda prefix: -sum(new[prefix]))[:beams]
            kept = {prefix: (new[prefix][0], new[prefix][1]) for prefix in ranked}
        assert prefix_beams(np.log(rows), beams) == [*next(iter(kept))]


def test_the_best_path_takes_the_likeliest_class_of_each_segment() -> None:
    rows = np.eye(4)[[2, 2, 0, 2, 3, 3, 0, 0, 1]] + 0.1
    assert best_path(np.log(rows)) == [2, 2, 3, 1]
    assert best_path(np.log(np.eye(4)[[0, 0]] + 0.1)) == []


@pytest.mark.parametrize("num_beams", [1, 3])
def test_padding_is_not_recognised(num_beams: int) -> None:
    given = logits()
    given.values[~given.mask] = torch.tensor([-50.0, 50.0, -50.0, -50.0])
    alone = [
        recognise(Padded(given.values[clip : clip + 1, :length], torch.tensor([length])), num_beams)[0]
        for clip, length in enumerate(LENGTHS)
    ]
    assert recognise(given, num_beams) == alone and any(alone)
