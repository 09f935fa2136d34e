"""Segments -> annotated glosses by connectionist temporal classification (MMTLB's sign-to-gloss loss).

B clips, S segments, E width of the features, G glosses, U glosses of a clip. A linear layer E -> G + 1 and a softmax
give p_s(g) in each segment; class 0 is the blank. L = -log sum over paths pi of prod_s p_s(pi_s), over all paths that
become the gloss sequence when repetitions are merged and blanks are dropped (Graves et al. 2006, eqs 2-3).

With two streams (TS-SLT), the segments of the video, those of the keypoints and the joint ones have such a layer each:
p_h, h = 1, 2, 3. Their mean q_s = (p_1 + p_2 + p_3) / 3 teaches all three and gets no gradient. Then a clip costs
sum_h L_h + w sum_h sum_s KL(q_s || p_h,s).
`best_path` and `prefix_beams` turn the head's outputs into glosses again.

Supervision by glosses: recipes must say `supervision = "glosses"`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED
from glossfree.objectives.base import Inputs, Level, Need, Objective, SeparableLoss, Sizes
from glossfree.padded import Padded
from glossfree.settings import MOST_TOKENS, value

GLOSSES: Need = "glosses"
BLANK = 0


class GlossCtc(Objective):
    """How a clip counts in the mean."""

    weight: float = value(1.0, "released", "weight beside the other losses (MMTLB: 1; SLTUNET: 0.3)", ge=0)
    average: Literal["clips", "glosses", "tokens"] = value(
        "clips",
        "released",
        "a clip costs the sum over its glosses (MMTLB), or that divided by their number, or by its tokens (SLTUNET)",
    )
    streams: bool = value(False, "assumed", "video, keypoints and both are recognised, and pulled together (TS-SLT)")
    distillation: float = value(1.0, "released", "w: how much the three learn from their mean, where streams", ge=0)
    num_glosses: int = value(1073, "derived", "G without a corpus, for parameter counts", ge=1, le=MOST_TOKENS)

    level: ClassVar[Level] = "segment"
    continues: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Need, ...]:
        """The vocabulary of glosses, and the ids of each clip."""
        return (GLOSSES,)

    @property
    def compares_streams(self) -> bool:
        """Whether it has a head for each stream."""
        return self.streams

    def build(self, sizes: Sizes, inputs: Inputs) -> GlossCtcLoss:
        """The loss, with its linear layer E -> G + 1, or three of them."""
        assert inputs.glosses is not None
        if self.streams:
            return StreamCtcLoss(sizes.segment, len(inputs.glosses), self.average, self.distillation)
        return GlossCtcLoss(sizes.segment, len(inputs.glosses), self.average)


class GlossCtcLoss(SeparableLoss):
    """Segments -> the CTC loss, a mean over the clips that have glosses."""

    def __init__(self, width: int, num_glosses: int, average: str) -> None:
        super().__init__()
        self.head = nn.Linear(width, num_glosses + 1)
        self.average = average

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch."""
        costs, has_glosses = self.costs(levels, batch), (batch.targets[GLOSSES] != IGNORED).any(dim=1)
        loss: Tensor = (costs * has_glosses).sum() / has_glosses.sum().clamp(min=1)
        return loss

    def costs(self, levels: Levels, batch: Any) -> Tensor:
        """The cost of each clip (B,)."""
        assert levels.segment is not None
        costs = ctc_costs(levels.segment.with_values(self.head(levels.segment.values)), batch.targets[GLOSSES])
        return costs / self.divisors(batch)

    def divisors(self, batch: Any) -> Tensor | int:
        """What the CTC cost of each clip is divided by: (B,), or 1."""
        if self.average == "clips":
            return 1
        tokens: Tensor = batch.labels != IGNORED if self.average == "tokens" else batch.targets[GLOSSES] != IGNORED
        return tokens.sum(dim=1).clamp(min=1)

    def units(self, batch: Any) -> float:
        """The number of its clips that have glosses."""
        return float((batch.targets[GLOSSES] != IGNORED).any(dim=1).sum())


class StreamCtcLoss(GlossCtcLoss):
    """Segments of both streams and joint ones -> the CTC losses and divergences; `head` is that of the joint ones."""

    def __init__(self, width: int, num_glosses: int, average: str, distillation: float) -> None:
        super().__init__(width, num_glosses, average)
        self.video_head = nn.Linear(width, num_glosses + 1)
        self.keypoint_head = nn.Linear(width, num_glosses + 1)
        self.distillation = distillation

    def costs(self, levels: Levels, batch: Any) -> Tensor:
        """The cost of each clip (B,)."""
        assert levels.segment is not None and levels.streams is not None
        heads = (self.head, self.video_head, self.keypoint_head)
        logits = [
            segments.with_values(head(segments.values))
            for head, segments in zip(heads, (levels.segment, *levels.streams), strict=True)
        ]
        costs = torch.stack([ctc_costs(each, batch.targets[GLOSSES]) for each in logits]).sum(dim=0)
        return costs / self.divisors(batch) + self.distillation * divergences(logits)


def divergences(logits: Sequence[Padded]) -> Tensor:
    """Logits of several heads, Padded (B, S, G + 1) each -> sum over heads and segments of KL(mean || head): (B,)."""
    with torch.autocast(logits[0].values.device.type, enabled=False):
        log_probabilities = torch.stack([each.values.float().log_softmax(dim=-1) for each in logits])
    teacher = (log_probabilities.detach().logsumexp(dim=0) - math.log(len(logits))).expand_as(log_probabilities)
    costs = functional.kl_div(log_probabilities, teacher, reduction="none", log_target=True).sum(dim=(0, -1))
    return costs.masked_fill(~logits[0].mask, 0.0).sum(dim=1)


def ctc_costs(logits: Padded, targets: Tensor) -> Tensor:
    """Logits Padded (B, S, G + 1) and gloss ids (B, U), -100 behind a clip's last -> -log p(glosses) (B,).

    0, without a gradient, for a clip that has too few segments for its glosses (see `segments_needed`).
    """
    with torch.autocast(logits.values.device.type, enabled=False):  # sums of many small probabilities
        log_probabilities = logits.values.float().log_softmax(dim=-1)
    costs: Tensor = functional.ctc_loss(
        log_probabilities.transpose(0, 1),
        targets.clamp(min=BLANK),
        logits.lengths,
        (targets != IGNORED).sum(dim=1),
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return costs


def segments_needed(targets: Tensor) -> Tensor:
    """Gloss ids (B, U), -100 behind a clip's last -> the fewest segments of each clip that can hold them: (B,).

    One for each gloss, and a blank between two equal ones.
    """
    real = targets != IGNORED
    repeated = (targets[:, 1:] == targets[:, :-1]) & real[:, 1:]
    return real.sum(dim=1) + repeated.sum(dim=1)


def recognise(logits: Padded, num_beams: int) -> list[list[int]]:
    """Logits Padded (B, S, G + 1) -> the gloss ids of each clip, by `prefix_beams`; with one beam, by `best_path`."""
    rows = logits.values.float().log_softmax(dim=-1).cpu().double().numpy()
    clips = [row[:length] for row, length in zip(rows, logits.lengths.tolist(), strict=True)]
    return [best_path(clip) if num_beams == 1 else prefix_beams(clip, num_beams) for clip in clips]


def best_path(log_probabilities: np.ndarray) -> list[int]:
    """Log-probabilities (S, G + 1) of a clip -> the glosses of its most probable path."""
    return [label for label, _ in groupby(log_probabilities.argmax(axis=1).tolist()) if label != BLANK]


def prefix_beams(log_probabilities: np.ndarray, num_beams: int) -> list[int]:
    """Log-probabilities (S, G + 1) of a clip -> the most probable gloss sequence, over all of its paths.

    Prefix search (Graves et al. 2006, section 3.2) that keeps the `num_beams` most probable sequences after each
    segment; exact if these are all.
    """
    nothing = -np.inf
    # sequence -> log-probability of its paths that end in a blank, and of those that end in its last gloss
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, nothing)}
    for row in log_probabilities:
        # no other gloss can lead to a sequence among the best, apart from the last gloss of a sequence that is one
        best = np.argsort(-row[1:], kind="stable")[: num_beams + 1] + 1
        labels = {*best.tolist(), *(prefix[-1] for prefix in beams if prefix)}
        longer: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (blank, gloss) in beams.items():
            total = np.logaddexp(blank, gloss)
            stays = (total + row[BLANK], gloss + row[prefix[-1]] if prefix else nothing)
            longer[prefix] = _either(longer.get(prefix), stays)
            for label in labels:
                before = blank if prefix[-1:] == (label,) else total
                extended = (*prefix, label)
                longer[extended] = _either(longer.get(extended), (nothing, before + row[label]))
        ranked = sorted(longer.items(), key=lambda item: (-np.logaddexp(*item[1]), item[0]))
        beams = dict(ranked[:num_beams])
    return [*next(iter(beams))]


def _either(one: tuple[float, float] | None, other: tuple[float, float]) -> tuple[float, float]:
    """Log-probabilities of two sets of paths -> of both."""
    return other if one is None else (float(np.logaddexp(one[0], other[0])), float(np.logaddexp(one[1], other[1])))
