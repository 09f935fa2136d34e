"""Segment features -> pseudo-gloss scores (section 3.2, eqs 1-3).

B clips, S segments, P pseudo-glosses, E width of the features. scores[b, p] = sum_s A[b, s, p] * Z[b, s, p] with
A = softmax over prototypes of sim / tau_p and Z = softmax over real segments of sim / tau_t. The last prototype is the
zero vector ("no sign"): it takes part in A and is dropped from the result. Padding never takes part in Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.padded import Padded

TEMPERATURE_RANGE = (0.01, 1.0)


@dataclass(frozen=True)
class GlossScores:
    """`scores` (B, P) in [0, 1]; `timeline` (B, S, P), what each segment adds to them; `lengths` (B,) in segments."""

    scores: Tensor
    timeline: Tensor
    lengths: Tensor


def similarity(features: Tensor, prototypes: Tensor) -> Tensor:
    """Features (B, S, W) and prototypes (P, W) -> cosines (B, S, P + 1), the last column 0: the zero vector (eq 1)."""
    cosines = functional.normalize(features, dim=-1) @ functional.normalize(prototypes, dim=-1).T
    return functional.pad(cosines, (0, 1))


def localise(similarities: Tensor, mask: Tensor, prototype_temperature: Tensor, time_temperature: Tensor) -> Tensor:
    """Similarities (B, S, P + 1) and mask (B, S) -> A * Z without the zero vector's column (B, S, P) (eq 2)."""
    over_prototypes = (similarities / prototype_temperature).softmax(dim=-1)[..., :-1]
    over_time = (similarities[..., :-1] / time_temperature).masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)
    return over_prototypes * over_time


def gloss_scores(timeline: Tensor) -> Tensor:
    """A * Z (B, S, P) -> scores (B, P), the sum over time (eq 3)."""
    return timeline.sum(dim=1)


class PseudoGlossHead(nn.Module):
    """Padded (B, S, E) -> GlossScores: dropout, a linear layer to the prototypes' width, eqs 1-3."""

    def __init__(
        self,
        width: int,
        vectors: Tensor,
        dropout: float,
        prototype_temperature: float,
        time_temperature: float,
        learn_temperatures: bool,
        train_prototypes: bool,
    ) -> None:
        """`vectors` (P, 300) start the prototypes. Raises ValueError for a zero vector among them: it is "no sign"."""
        super().__init__()
        if not vectors.is_meta and not bool(vectors.any(dim=1).all()):
            empty = (~vectors.any(dim=1)).nonzero().flatten().tolist()
            raise ValueError(f"prototypes {empty[:10]} are zero vectors, and so mean 'no sign'")
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(width, vectors.shape[1])
        self.prototypes = nn.Parameter(vectors.detach().clone(), requires_grad=train_prototypes)
        # as logarithms, as CLIP keeps its own: a step of Adam is as large as the learning rate, and 150 of them at the
        # paper's 6e-4 would take a temperature from 0.1 to its bound, wherever the loss would have it
        self.log_prototype_temperature = nn.Parameter(torch.tensor(prototype_temperature).log(), learn_temperatures)
        self.log_time_temperature = nn.Parameter(torch.tensor(time_temperature).log(), learn_temperatures)

    @property
    def temperatures(self) -> tuple[Tensor, Tensor]:
        """tau_p and tau_t (eq 2), scalars in TEMPERATURE_RANGE."""
        lowest, highest = map(math.log, TEMPERATURE_RANGE)
        for logarithm in (self.log_prototype_temperature, self.log_time_temperature):
            # the value is put back, not its use clamped: a clamp has no gradient outside, the value could never return
            logarithm.data.clamp_(lowest, highest)
        return self.log_prototype_temperature.exp(), self.log_time_temperature.exp()

    def forward(self, segments: Padded) -> GlossScores:
        """Padded (B, S, E) -> GlossScores."""
        features = self.projection(self.dropout(segments.values))
        with torch.autocast(features.device.type, enabled=False):  # an error of a cosine is divided by tau >= 0.01
            similarities = similarity(features.float(), self.prototypes.float())
        timeline = localise(similarities, segments.mask, *self.temperatures)
        return GlossScores(gloss_scores(timeline), timeline, segments.lengths)
