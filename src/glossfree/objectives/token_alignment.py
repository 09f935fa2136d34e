"""Contrastive loss between the tokens of videos and of sentences (CiCo, Cheng et al. 2023; VAP, Jiao et al. 2024).

B clips, S segments, L tokens, W their common width. c_ij is the cosine of segment i of video a and token j of text b:

    to_text[a, b]   = mean over i of R_j c_ij     each segment looks for its tokens
    to_video[a, b]  = mean over j of R_i c_ij     each token looks for its segments
    R_j c_ij        = sum over j of softmax_j(c_ij / 0.07) c_ij  ("soft", CiCo)  or  max over j of c_ij  ("max", VAP)

With X = to_text / tau, Y = to_video / tau, and rows(X) the cross-entropy of softmax along rows with the diagonal:

    "losses"        1/2 [m rows(X) + (1 - m) rows(X^T) + m rows(Y^T) + (1 - m) rows(Y)]    (CiCo: m = 1/2, C2RL: m = 1)
    "similarities"  1/2 [rows((X + Y) / 2) + rows((X + Y)^T / 2)]                          (VAP)

Padding takes part in no sum, mean or maximum. A clip whose sentence has no token is compared with no other.
No code of VAP is public: "max" follows its abstract. CiCo makes to_video with words of the sentence swapped, which is
left out here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import SPECIAL_TOKENS
from glossfree.objectives.base import Inputs, JointLoss, Level, Need, Objective, Sizes, in_main_memory
from glossfree.objectives.contrastive import (
    MAX_LOGIT_SCALE,
    bounded_scale,
    number_of,
    pair_cross_entropy,
    pair_divergence,
    same_sentences,
)
from glossfree.padded import Padded
from glossfree.settings import value

NO_TOKENS = -1  # in place of the number of a sentence

Reduce = Literal["soft", "max"]


class TokenAlignment(Objective):
    """What is compared with what, and how. "Stated" and "released" refer to CiCo here."""

    tokens: Literal["text_encoder", "pseudo_glosses"] = value(
        "text_encoder", "released", "of a sentence: the frozen text encoder's, or the vectors of its pseudo-glosses"
    )
    reads: Literal["segment", "video"] = value(
        "video", "released", "features that are a video's tokens: below or above the language encoder"
    )
    reduce: Reduce = value("soft", "released", "what each token finds: a weighted sum of cosines, or (VAP) the highest")
    inner_temperature: float = value(0.07, "released", "of the weights in that sum; not learnt", ge=0.001, le=100)
    special_tokens: bool = value(
        False, "assumed", "</s> and the language code take part in a sum (released), and are tokens to align"
    )
    padding: bool = value(
        False, "assumed", "padding takes part in a sum with cosines of 0 (C2RL's authors), up to the longest of a step"
    )
    combine: Literal["losses", "similarities"] = value(
        "losses", "released", "both directions of looking: one loss each, or (VAP) one loss of their mean"
    )
    mix: float = value(
        0.5, "released", "share of a direction's own softmax in its loss; the other one's has the rest (C2RL: 1)",
        ge=0, le=1,
    )  # fmt: skip
    logit_scale: float = value(1 / 0.07, "assumed", "start of 1/tau (CLIP's)", ge=0.01, le=MAX_LOGIT_SCALE)
    loss: Literal["cross_entropy", "divergence"] = value(
        "cross_entropy", "released", "of the logits: CLIP's, or the divergence from a softened identity (GFSLT-VLP's)"
    )
    label_smoothing: float = value(0.0, "released", "of the cross-entropy (C2RL: 0.2)", ge=0, lt=1)
    identity_sharpness: float = value(
        10.0, "assumed", "s of the divergence's targets, softmax(s x identity)", ge=0.01, le=1000
    )
    equal_sentences: Literal["left_out", "negatives"] = value(
        "left_out", "assumed", "clips of a step with the same tokens: not compared, or (released) pushed apart"
    )

    compares_clips: ClassVar[bool] = True

    @property
    def level(self) -> Level:  # type: ignore[override]  # of most objectives, every instance has the same
        """The level of the video's tokens."""
        return self.reads

    @property
    def compares_sentences(self) -> bool:  # type: ignore[override]
        """Whether any sentence can be compared: pseudo-glosses are known of training and dev alone."""
        return self.tokens == "text_encoder"

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the tokens of a sentence are made of."""
        return ("text_tokens",) if self.tokens == "text_encoder" else ("pseudo_glosses",)

    def problems(self) -> Iterator[str]:
        """Options that do not belong to each other."""
        for name in ("special_tokens", "padding"):
            if self.reduce == "max" and getattr(self, name):
                yield f'{name} needs reduce = "soft": they would be the highest for every segment that fits nothing'
        if self.special_tokens and self.tokens != "text_encoder":
            yield 'special_tokens needs tokens = "text_encoder"'
        if self.label_smoothing and self.loss != "cross_entropy":
            yield 'label_smoothing needs loss = "cross_entropy": the other is smoothed by identity_sharpness'
        if self.mix != 0.5 and self.combine != "losses":
            yield 'mix needs combine = "losses"'

    def build(self, sizes: Sizes, inputs: Inputs) -> TokenAlignmentLoss:
        """The loss, with its logit scale and, for pseudo-glosses, a linear layer E -> 300."""
        return TokenAlignmentLoss(self, sizes.segment, inputs)


class TokenAlignmentLoss(JointLoss):
    """The tokens of the videos and of the sentences of a step -> the loss."""

    vectors: Tensor | None

    def __init__(self, options: TokenAlignment, width: int, inputs: Inputs) -> None:
        super().__init__()
        self.options, self.text_tokens = options, inputs.text_tokens
        self.projection: nn.Module = nn.Identity()
        vectors = None
        if options.tokens == "pseudo_glosses":
            assert inputs.vectors is not None
            vectors = inputs.vectors.detach().clone()
            self.projection = nn.Linear(width, vectors.shape[1])
        self.register_buffer("vectors", vectors, persistent=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(options.logit_scale)))

    def features(self, levels: Levels, batch: Any) -> tuple[Tensor | Padded, ...]:
        """A batch -> tokens of videos Padded (B, S, W) and of sentences Padded (B, L, W), and numbers (B,).

        Sentences with equal tokens have equal numbers. One without any has NO_TOKENS and a single row of zeros."""
        video = levels.segment if self.options.reads == "segment" else without_prefix(levels)
        assert video is not None
        video = video.with_values(self.projection(video.values))
        rows, numbers = [], []
        for tokens, number in self._tokens(batch):
            rows.append(tokens if len(tokens) else tokens.new_zeros(1, tokens.shape[1]))
            numbers.append(number if len(tokens) else NO_TOKENS)
        device = video.values.device
        text = Padded.unpack(torch.cat(rows).to(device, non_blocking=True), torch.tensor([len(each) for each in rows]))
        return video, text, torch.tensor(numbers).to(device, non_blocking=True)

    def _tokens(self, batch: Any) -> Iterator[tuple[Tensor, int]]:
        """The tokens (L, W) of each sentence of a batch, and their number."""
        if self.vectors is not None:
            for targets in in_main_memory(batch).targets["pseudo_glosses"]:
                glosses = targets.nonzero()[:, 0]
                rows = glosses.to(self.vectors.device, non_blocking=True)
                yield self.vectors[rows], number_of(str(glosses.tolist()))
            return
        assert self.text_tokens is not None
        for sentence in batch.texts:
            tokens = self.text_tokens[sentence]
            yield tokens if self.options.special_tokens else tokens[:-SPECIAL_TOKENS], number_of(sentence)

    def forward(self, video: Padded, text: Padded, sentences: Tensor) -> Tensor:
        """Tokens of all clips of the step -> the loss. Raises ValueError for a single clip: it has no negatives."""
        options = self.options
        if len(sentences) < 2:
            raise ValueError(f"{len(sentences)} clip: at least two are needed for a comparison")
        excluded = (sentences == NO_TOKENS)[:, None] | (sentences == NO_TOKENS)
        excluded.fill_diagonal_(False)
        if options.equal_sentences == "left_out":
            excluded |= same_sentences(sentences)
        to_text, to_video = token_similarities(
            video, text, options.reduce, temperature=options.inner_temperature, padding=options.padding
        )
        scale = bounded_scale(self.logit_scale)
        if options.combine == "similarities":
            return self._loss_of((to_text + to_video) / 2 * scale, excluded, 0.5)
        directions = (
            self._loss_of(to_text * scale, excluded, options.mix),
            self._loss_of(to_video * scale, excluded, 1 - options.mix),
        )
        return (directions[0] + directions[1]) / 2

    def similarity(self, video: Tensor | Padded, text: Tensor | Padded) -> Tensor:
        """Tokens of videos (A, S, W) and of sentences (B, L, W) -> the mean of both directions (A, B), in [-1, 1].

        Without padding, whatever `padding` says: it does not depend on the clips beside them."""
        assert isinstance(video, Padded) and isinstance(text, Padded)
        options = self.options
        to_text, to_video = token_similarities(video, text, options.reduce, temperature=options.inner_temperature)
        return (to_text + to_video) / 2

    def _loss_of(self, logits: Tensor, excluded: Tensor, share: float) -> Tensor:
        """Logits (B, B) of videos and texts -> the loss; `share`: the weight of the rows."""
        options = self.options
        if options.loss == "divergence":
            return pair_divergence(logits, excluded, options.identity_sharpness, share=share)
        return pair_cross_entropy(logits, excluded, smoothing=options.label_smoothing, share=share)


def without_prefix(levels: Levels) -> Padded | None:
    """The video features of segments alone: another objective may have put a token in front of them."""
    video, segment = levels.video, levels.segment
    if video is None or segment is None or video.values.shape[1] == segment.values.shape[1]:
        return video
    return Padded(video.values[:, 1:], video.lengths - 1)


def token_similarities(
    video: Padded, text: Padded, reduce: Reduce = "soft", *, temperature: float = 0.07, padding: bool = False
) -> tuple[Tensor, Tensor]:
    """Tokens of videos Padded (A, S, W) and of texts Padded (B, L, W), none empty -> to_text and to_video (A, B).

    In float32 at least. `padding`: it takes part in the softmax of "soft", with cosines of 0. Raises ValueError for
    tokens of other widths.
    """
    if video.values.shape[2] != text.values.shape[2]:
        raise ValueError(f"tokens of width {video.values.shape[2]} and {text.values.shape[2]} cannot be compared")
    with torch.autocast(video.values.device.type, enabled=False):
        # one matrix product for all pairs: (A, S, B, L)
        cosines = torch.tensordot(directions_of(video), directions_of(text), dims=([2], [2]))
        by_segment = _reduced(cosines, text.mask[None, None], 3, reduce, temperature, padding)
        by_token = _reduced(cosines, video.mask[:, :, None, None], 1, reduce, temperature, padding)
        # padding has cosines of 0, and adds nothing to these sums
        return by_segment.sum(dim=1) / video.lengths[:, None], by_token.sum(dim=2) / text.lengths


def _reduced(cosines: Tensor, real: Tensor, along: int, reduce: Reduce, temperature: float, padding: bool) -> Tensor:
    """Cosines -> what is found `along` one of their axes, which is dropped; `real` says what of it is not padding."""
    if reduce == "max":
        return cosines.masked_fill(~real, -math.inf).amax(dim=along)
    logits = cosines / temperature
    weights = (logits if padding else logits.masked_fill(~real, -math.inf)).softmax(dim=along)
    return (weights * cosines).sum(dim=along)


def directions_of(tokens: Padded) -> Tensor:
    """Tokens Padded (B, L, W) -> unit vectors (B, L, W), in float32 at least; padding is 0."""
    values = tokens.values.to(torch.promote_types(tokens.values.dtype, torch.float32))
    return functional.normalize(values.masked_fill(~tokens.mask[..., None], 0.0), dim=-1)
