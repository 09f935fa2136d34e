"""Videos as similar to each other as their sentences are: GASLT's knowledge transfer (Yin et al. 2023).

B clips of a step, E language width. With z_i the mean of a clip's video features, divided by its norm, and e_i a vector
of its sentence,

    L = mean over pairs i < j of (z_i z_j - cos(e_i, e_j))^2

e comes from a frozen model of sentences, which the user names. Without one, e is the frozen text encoder's mean over a
sentence's tokens, minus the mean of all sentences: as such means share a large common part, their cosines are all
close to 1 before.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, JointLoss, Need, Objective, Sizes
from glossfree.settings import value


class TextSimilarity(Objective):
    """Where the vectors of sentences come from. "Released" refers to GASLT here."""

    weight: float = value(
        0.67, "derived", "weight of the loss (released: 10, beside a sum over a sentence's tokens, 15 on average)", ge=0
    )
    vectors: str = value(
        "",
        "assumed",
        "of sentences: .npz file, or folder of a sentence-transformers model (released: "
        "distiluse-base-multilingual-cased-v1); empty: the language encoder's",
    )

    compares_clips: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Need, ...]:
        """The vectors that the user names, or the text encoder's."""
        return ("sentence_vectors",) if self.vectors else ("text_features",)

    def build(self, sizes: Sizes, inputs: Inputs) -> TextSimilarityLoss:
        """The loss; it has no parameters."""
        return TextSimilarityLoss(self.vectors, inputs)


class TextSimilarityLoss(JointLoss):
    """Pooled videos and vectors of their sentences, of a step -> the loss."""

    def __init__(self, source: str, inputs: Inputs) -> None:
        super().__init__()
        self.vectors = inputs.sentence_vectors if source else inputs.text_features
        self.centre = torch.tensor(0.0)
        if self.vectors is not None and not source and len(self.vectors) > 1:  # else every vector would become 0
            self.centre = torch.stack([*self.vectors.values()]).mean(dim=0)

    def features(self, levels: Levels, batch: Any) -> tuple[Tensor, ...]:
        """A batch -> pooled video features (B, E) and vectors of sentences (B, any). A learned token counts as real."""
        assert levels.video is not None and self.vectors is not None
        vectors = torch.stack([self.vectors[sentence] for sentence in batch.texts]) - self.centre
        return levels.video.mean(), vectors.to(levels.video.values.device, non_blocking=True)

    def forward(self, video: Tensor, vectors: Tensor) -> Tensor:
        """Features of all clips of the step -> the loss."""
        return text_similarity_loss(video, vectors)


def text_similarity_loss(video: Tensor, vectors: Tensor) -> Tensor:
    """Video features (B, E) and vectors of their sentences (B, any) -> mean squared difference of their cosines.

    Raises ValueError for a single clip, which has no pair.
    """
    clips = len(video)
    if clips < 2 or len(vectors) != clips:
        raise ValueError(f"{clips} clips and {len(vectors)} sentences: two or more are needed, as many of both")
    with torch.autocast(video.device.type, enabled=False):  # half precision would round cosines to 8 bits
        ours, targets = (functional.normalize(each.float(), dim=-1) for each in (video, vectors))
        differences = ours @ ours.T - targets @ targets.T
        return differences.square().triu(1).sum() / (clips * (clips - 1) / 2)
