"""Cross-entropy between a decoder's logits and the sentence (section 3.3, eq 6)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED
from glossfree.objectives.base import Inputs, Level, Objective, SeparableLoss, Sizes
from glossfree.settings import value


class Translation(Objective):
    """Options of the cross-entropy."""

    label_smoothing: float = value(0.2, "released", "of eq 6", ge=0, lt=1)

    level: ClassVar[Level] = "logits"

    def build(self, sizes: Sizes, inputs: Inputs) -> TranslationLoss:
        """The loss; it has no parameters."""
        return TranslationLoss(self.label_smoothing)


class TranslationLoss(SeparableLoss):
    """Logits -> L_SLT (eq 6), a mean over tokens."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch."""
        assert levels.logits is not None
        return translation_loss(levels.logits, batch.labels, self.label_smoothing)

    def units(self, batch: Any) -> float:
        """The number of its tokens."""
        return float((batch.labels != IGNORED).sum())


def translation_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Token logits (B, L, V) and labels (B, L), -100 = ignored -> L_SLT: mean cross-entropy of a token (eq 6)."""
    if logits.shape[:-1] != labels.shape:
        raise ValueError(f"logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)}")
    return functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing
    )
