"""The model's decoder also writes the annotated glosses: SLTUNET's second task of videos (Zhang et al. 2023).

    L = mean over tokens t of CE(g_t, decoder(g_<t, [i; v])), with label smoothing

v are the video features, g the tokens of the glosses as a sentence in lower case, and i a learned indicator of the task
in front of v: without it the decoder writes the sentence. In SLTUNET the indicator stands in front of the encoder's
input, and the sentence has one, too; here one pass through the encoder serves both tasks, and translation is as in any
other recipe.

B clips, S segments, E language width, L tokens. Supervision by glosses: recipes must say `supervision = "glosses"`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.hierarchy import Levels, put_in_front
from glossfree.models.tokens import EOS_ID, IGNORED
from glossfree.objectives.base import Inputs, Need, Objective, SeparableLoss, Sizes, in_main_memory
from glossfree.settings import value

GLOSS_LABELS: Need = "gloss_labels"


class GlossTranslation(Objective):
    """Options of the cross-entropy."""

    weight: float = value(1.0, "released", "weight beside translation's loss", ge=0)
    label_smoothing: float = value(0.1, "released", "of the cross-entropy", ge=0, lt=1)

    decodes: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Need, ...]:
        """The glosses of each clip as token ids."""
        return (GLOSS_LABELS,)

    def build(self, sizes: Sizes, inputs: Inputs) -> GlossTranslationLoss:
        """The loss, with its indicator."""
        return GlossTranslationLoss(sizes.segment, self.label_smoothing)


class GlossTranslationLoss(SeparableLoss):
    """Video features -> L of the module's docstring, a mean over the tokens of glosses."""

    def __init__(self, width: int, label_smoothing: float) -> None:
        super().__init__()
        self.indicator = nn.Parameter(torch.randn(1, width) * 0.02)
        self.label_smoothing = label_smoothing

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch; 0 if none of its clips has glosses."""
        assert levels.video is not None and levels.decoder is not None
        tokens = tokens_of_glosses(batch)
        logits = levels.decoder(put_in_front(self.indicator, levels.video), tokens)
        labels = batch.targets[GLOSS_LABELS][:, : tokens.shape[1]]
        return mean_cross_entropy(logits, labels, self.label_smoothing)

    def units(self, batch: Any) -> float:
        """The number of its tokens of glosses."""
        return float((batch.targets[GLOSS_LABELS] != IGNORED).sum())


def tokens_of_glosses(batch: Any) -> Tensor:
    """A batch -> the tokens of its glosses (B, L), -100 behind a clip's last; `</s>` alone where there is none."""
    labels: Tensor = batch.targets[GLOSS_LABELS]  # as wide as the longest clip of the corpus
    tokens = (in_main_memory(batch).targets[GLOSS_LABELS] != IGNORED).sum(dim=1)
    labels = labels[:, : max(1, int(tokens.max()))]
    is_empty = (labels == IGNORED).all(dim=1, keepdim=True)
    return torch.where(is_empty & (torch.arange(labels.shape[1], device=labels.device) == 0), EOS_ID, labels)


def mean_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Logits (B, L, V) and labels (B, L), -100 = ignored -> the mean cost of a token; 0 if there is none."""
    total = functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    mean: Tensor = total / (labels != IGNORED).sum().clamp(min=1)
    return mean
