"""Hierarchical pre-training: segments against pseudo-glosses, video against sentence (section 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.language import TextEncoder
from glossfree.models.prototypes import GlossScores, PseudoGlossHead

MAX_LOGIT_SCALE = 100.0  # CLIP's bound: beyond it training becomes unstable


@dataclass(frozen=True)
class PretrainingOutput:
    """What eqs 3 and 4 compare: `gloss`; `video` and `text` (B, E), pooled; `logit_scale` = 1 / tau, a scalar.

    `text` is None where the model has no text encoder or got no labels: the caller then knows the features.
    """

    gloss: GlossScores
    video: Tensor
    text: Tensor | None
    logit_scale: Tensor


class PretrainingModel(nn.Module):
    """Frames and sentences -> PretrainingOutput. B clips, L tokens, E language width.

    One learned token stands in front of the segments; its row is part of the average that eq 4 compares.
    `text_encoder` may be None: it is frozen, so a sentence's features never change, can be computed once per distinct
    sentence, and its 154 M parameters need not stay in memory. `average_padding`: the average of a video runs over
    padding, too, as in the released code (for that of a sentence see `TextEncoder`), and so depends on its neighbours.
    """

    def __init__(
        self,
        hierarchy: HierarchicalEncoder,
        head: PseudoGlossHead,
        text_encoder: TextEncoder | None,
        logit_scale: float = 1 / 0.07,
        average_padding: bool = False,
    ) -> None:
        super().__init__()
        self.hierarchy = hierarchy
        self.head = head
        self.text_encoder = text_encoder
        self.average_padding = average_padding
        self.token = nn.Parameter(torch.randn(1, head.projection.in_features) * 0.02)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))

    def forward(
        self,
        frames: Tensor,
        lengths: Tensor,
        labels: Tensor | None = None,
        level: str = "frames",
    ) -> PretrainingOutput:
        """Rows of all clips at `level`, and labels (B, L) "pieces </s> code" for the text encoder."""
        text = None if self.text_encoder is None or labels is None else self.text_encoder(labels)
        levels = self.hierarchy(frames, lengths, level, prefix=self.token)
        video = levels.video.mean(padding=self.average_padding)
        return PretrainingOutput(self.head(levels.segment), video, text, self.scale())

    def scale(self) -> Tensor:
        """1 / tau of eq 4, a scalar, kept at most MAX_LOGIT_SCALE."""
        self.logit_scale.data.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return self.logit_scale.exp()
