"""Segments -> annotated glosses by connectionist temporal classification (MMTLB's sign-to-gloss loss).

B clips, S segments, E width of the features, G glosses, U glosses of a clip. A linear layer E -> G + 1 and a softmax
give p_s(g) in each segment; class 0 is the blank. L = -log sum over paths pi of prod_s p_s(pi_s), over all paths that
become the gloss sequence when repetitions are merged and blanks are dropped (Graves et al. 2006, eqs 2-3).

Supervision by glosses: recipes must say `supervision = "glosses"`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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
    average: Literal["clips", "glosses"] = value(
        "clips", "released", "a clip costs the sum over its glosses (MMTLB), or the mean (SLTUNET)"
    )
    num_glosses: int = value(1073, "derived", "G without a corpus, for parameter counts", ge=1, le=MOST_TOKENS)

    level: ClassVar[Level] = "segment"
    continues: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Need, ...]:
        """The vocabulary of glosses, and the ids of each clip."""
        return (GLOSSES,)

    def build(self, sizes: Sizes, inputs: Inputs) -> GlossCtcLoss:
        """The loss, with its linear layer E -> G + 1."""
        assert inputs.glosses is not None
        return GlossCtcLoss(sizes.segment, len(inputs.glosses), self.average)


class GlossCtcLoss(SeparableLoss):
    """Segments -> the CTC loss, a mean over the clips that have glosses."""

    def __init__(self, width: int, num_glosses: int, average: str) -> None:
        super().__init__()
        self.head = nn.Linear(width, num_glosses + 1)
        self.average = average

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch."""
        assert levels.segment is not None
        targets = batch.targets[GLOSSES]
        costs = ctc_costs(levels.segment.with_values(self.head(levels.segment.values)), targets)
        counts = (targets != IGNORED).sum(dim=1)
        if self.average == "glosses":
            costs = costs / counts.clamp(min=1)
        has_glosses: Tensor = counts > 0
        return (costs * has_glosses).sum() / has_glosses.sum().clamp(min=1)

    def units(self, batch: Any) -> float:
        """The number of its clips that have glosses."""
        return float((batch.targets[GLOSSES] != IGNORED).any(dim=1).sum())


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
