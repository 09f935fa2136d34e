"""Segment features -> pseudo-gloss scores, and their loss (section 3.2, eqs 1-3).

B clips, S segments, P pseudo-glosses, E width of the features. scores[b, p] = sum_s A[b, s, p] * Z[b, s, p] with
A = softmax over prototypes of sim / tau_p and Z = softmax over real segments of sim / tau_t. The last prototype is the
zero vector ("no sign"): it is part of A and is dropped from the result. Padding is never part of Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from pydantic import field_validator
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Level, Need, Objective, SeparableLoss, Sizes
from glossfree.padded import Padded
from glossfree.settings import MOST_TOKENS, WIDEST, value

PSEUDO_GLOSSES: Need = "pseudo_glosses"
TEMPERATURE_RANGE = (0.01, 1.0)
# float32 can represent 1 - 1e-6. A score of exactly 0 or 1 then costs 13.8 nats instead of infinity.
SCORE_MARGIN = 1e-6

Split = Literal["train", "dev", "test"]


class PseudoGloss(Objective):
    """Pseudo-glosses, the head that scores them, and the loss of the scores."""

    weight: float = value(10.0, "assumed", "lambda of eq 5 (Table 2: more was better)", ge=0)
    loss: Literal["cross_entropy", "sigmoid_cross_entropy"] = value(
        "cross_entropy", "stated", "of eq 3's scores, or (released) of their sigmoid"
    )
    num_pseudo_glosses: int = value(2322, "derived", "P without a corpus, for parameter counts", ge=1, le=MOST_TOKENS)
    splits: tuple[Split, ...] = value(
        ("train",), "assumed", "splits whose sentences make the inventory (released: all three)", min_length=1
    )
    max_document_frequency: float = value(
        1.0, "assumed", "pseudo-glosses in this share of training sentences are no targets; 1: all are (Sign2GPT: 0.4)",
        gt=0, le=1,
    )  # fmt: skip
    vector_size: int = value(300, "stated", "width of a prototype (fastText)", ge=1, le=WIDEST)
    dropout: float = value(0.2, "released", "dropout before the linear layer of the head", ge=0, lt=1)
    prototype_temperature: float = value(0.1, "stated", "start of tau_p", ge=0.01, le=1)
    time_temperature: float = value(0.1, "stated", "start of tau_t", ge=0.01, le=1)
    learn_temperatures: bool = value(True, "stated", "whether both are learnt (fixed in the released code)")
    prototypes: Literal["word_vectors", "random"] = value(
        "word_vectors", "stated", "what the prototypes start as; random ones have the lengths of word vectors"
    )
    train_prototypes: bool = value(True, "derived", "whether the prototypes are learnt (Table 3 counts them)")
    zero_prototype: bool = value(True, "stated", 'whether a segment may belong to the zero vector, "no sign" (eq 1)')

    level: ClassVar[Level] = "segment"

    @field_validator("splits")
    @classmethod
    def _in_one_order(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        return tuple(name for name in get_args(Split) if name in splits)

    @property
    def needs(self) -> tuple[Need, ...]:
        """Targets and vectors, and the frequencies if frequent pseudo-glosses are excluded."""
        return (PSEUDO_GLOSSES,) if self.max_document_frequency == 1 else (PSEUDO_GLOSSES, "document_frequencies")

    def build(self, sizes: Sizes, inputs: Inputs) -> PseudoGlossLoss:
        """The loss, with its head on segments of width E."""
        assert inputs.vectors is not None
        frequencies, highest = inputs.document_frequencies, self.max_document_frequency
        rare = None if frequencies is None or highest == 1 else frequencies < highest
        vectors = inputs.vectors
        if self.prototypes == "random":
            vectors = functional.normalize(torch.randn_like(vectors)) * vectors.norm(dim=1, keepdim=True)
        return PseudoGlossLoss(self.head(sizes.segment, vectors), self.loss, rare)

    def head(self, width: int, vectors: Tensor) -> PseudoGlossHead:
        """Width E and vectors (P, 300) -> the head alone; the translator uses it for its timeline."""
        return PseudoGlossHead(self, width, vectors)


class PseudoGlossLoss(SeparableLoss):
    """Segments -> L_PG (eqs 1-3). `rare` (P,) bool: which pseudo-glosses may be targets; None: all."""

    rare: Tensor | None

    def __init__(self, head: PseudoGlossHead, loss: str = "cross_entropy", rare: Tensor | None = None) -> None:
        super().__init__()
        self.head = head
        self.loss = {"cross_entropy": pseudo_gloss_loss, "sigmoid_cross_entropy": sigmoid_pseudo_gloss_loss}[loss]
        self.register_buffer("rare", rare, persistent=False)

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch, a mean over its clips and the P pseudo-glosses."""
        assert levels.segment is not None
        targets = batch.targets[PSEUDO_GLOSSES]
        if self.rare is not None:
            targets = targets * self.rare
        return self.loss(self.head(levels.segment).scores, targets)


@dataclass(frozen=True)
class GlossScores:
    """`scores` (B, P) in [0, 1]; `timeline` (B, S, P), the share of each segment; `lengths` (B,) in segments."""

    scores: Tensor
    timeline: Tensor
    lengths: Tensor


def similarity(features: Tensor, prototypes: Tensor) -> Tensor:
    """Features (B, S, W) and prototypes (P, W) -> cosines (B, S, P + 1), the last column 0: the zero vector (eq 1)."""
    cosines = functional.normalize(features, dim=-1) @ functional.normalize(prototypes, dim=-1).T
    return functional.pad(cosines, (0, 1))


def localise(
    similarities: Tensor,
    mask: Tensor,
    prototype_temperature: Tensor,
    time_temperature: Tensor,
    zero_prototype: bool = True,
) -> Tensor:
    """Similarities (B, S, P + 1) and mask (B, S) -> A * Z without the zero vector's column (B, S, P) (eq 2).

    Without `zero_prototype`, A is a softmax over the P pseudo-glosses alone.
    """
    of_words = similarities[..., :-1]
    over_prototypes = ((similarities if zero_prototype else of_words) / prototype_temperature).softmax(dim=-1)
    over_time = (of_words / time_temperature).masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)
    return over_prototypes[..., : of_words.shape[-1]] * over_time


def gloss_scores(timeline: Tensor) -> Tensor:
    """A * Z (B, S, P) -> scores (B, P), the sum over time (eq 3)."""
    return timeline.sum(dim=1)


class PseudoGlossHead(nn.Module):
    """Padded (B, S, E) -> GlossScores: dropout, a linear layer to the prototypes' width, eqs 1-3."""

    def __init__(self, options: PseudoGloss, width: int, vectors: Tensor) -> None:
        """`vectors` (P, 300) initialise the prototypes. Raises ValueError if one is zero, which means "no sign"."""
        super().__init__()
        if not vectors.is_meta and not bool(vectors.any(dim=1).all()):
            empty = (~vectors.any(dim=1)).nonzero().flatten().tolist()
            raise ValueError(f"prototypes {empty[:10]} are zero vectors, which mean 'no sign'")
        self.zero_prototype = options.zero_prototype
        self.dropout = nn.Dropout(options.dropout)
        self.projection = nn.Linear(width, vectors.shape[1])
        self.prototypes = nn.Parameter(vectors.detach().clone(), requires_grad=options.train_prototypes)
        # Stored as logarithms, as in CLIP. A step of Adam is about as large as the learning rate: without logarithms,
        # 150 steps at the paper's 6e-4 could move a temperature from 0.1 to its bound.
        self.log_prototype_temperature, self.log_time_temperature = (
            nn.Parameter(torch.tensor(temperature).log(), options.learn_temperatures)
            for temperature in (options.prototype_temperature, options.time_temperature)
        )

    @property
    def temperatures(self) -> tuple[Tensor, Tensor]:
        """tau_p and tau_t (eq 2), scalars in TEMPERATURE_RANGE."""
        lowest, highest = map(math.log, TEMPERATURE_RANGE)
        for logarithm in (self.log_prototype_temperature, self.log_time_temperature):
            # Clamp the parameter in place: a clamp in the graph has no gradient outside, so the value could not return.
            if not torch.compiler.is_exporting():
                logarithm.data.clamp_(lowest, highest)
        return self.log_prototype_temperature.exp(), self.log_time_temperature.exp()

    def forward(self, segments: Padded) -> GlossScores:
        """Padded (B, S, E) -> GlossScores."""
        features = self.projection(self.dropout(segments.values))
        with torch.autocast(features.device.type, enabled=False):  # tau >= 0.01 magnifies the error of a cosine
            similarities = similarity(features.float(), self.prototypes.float())
        timeline = localise(similarities, segments.mask, *self.temperatures, self.zero_prototype)
        return GlossScores(gloss_scores(timeline), timeline, segments.lengths)


def pseudo_gloss_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Scores and multi-hot targets (B, P) -> L_PG: binary cross-entropy, averaged over B and P (eq 3).

    Scores already lie in [0, 1], so no sigmoid is applied (see `sigmoid_pseudo_gloss_loss`). They are clamped to
    SCORE_MARGIN from 0 and 1 to keep the gradient finite.
    """
    if scores.shape != targets.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and targets {tuple(targets.shape)} differ in shape")
    scores, targets = scores.float().clamp(SCORE_MARGIN, 1 - SCORE_MARGIN), targets.float()
    return -(targets * scores.log() + (1 - targets) * (1 - scores).log()).mean()


def sigmoid_pseudo_gloss_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Scores and multi-hot targets (B, P) -> the released code's L_PG, with a sigmoid first.

    A score in [0, 1] becomes a probability in [0.50, 0.73]. A target costs at least 0.31, any other pseudo-gloss at
    least ln 2. As few pseudo-glosses are targets, the average is close to ln 2 at best.
    """
    return pseudo_gloss_loss(scores.float().sigmoid(), targets)
