"""Contrastive loss between pooled video features and those of a frozen text encoder (section 3.2, eq 4).

B clips, S segments, E language width.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, JointLoss, Need, Objective, Sizes
from glossfree.padded import Padded
from glossfree.settings import value

MAX_LOGIT_SCALE = 100.0  # CLIP's bound; above it training becomes unstable
EXCLUDED = -1e4  # a logit with exactly 0 probability in float32, and no gradient


class Contrastive(Objective):
    """How videos and sentences are pooled and compared."""

    weight: float = value(1.0, "stated", "weight of eq 4 in eq 5", ge=0)
    loss: Literal["cross_entropy", "divergence"] = value(
        "cross_entropy", "stated", "eq 4: CLIP's, or (released) the divergence from a softened identity"
    )
    identity_sharpness: float = value(
        10.0,
        "assumed",
        "s of the divergence's targets, softmax(s x identity) along rows (GFSLT-VLP's)",
        ge=0.01,
        le=1000,
    )
    logit_scale: float = value(1 / 0.07, "assumed", "start of 1/tau in eq 4 (CLIP's)", ge=0.01, le=MAX_LOGIT_SCALE)
    token: bool = value(True, "released", "a learned token stands in front of the segments")
    pooling: Literal["mean", "first"] = value(
        "mean", "stated", "a video's features: the mean over token and segments, or the token's row alone"
    )
    average_padding: bool = value(
        False, "assumed", "means run over padding, too (released), and so depend on the clips of a forward pass"
    )
    equal_sentences: Literal["left_out", "negatives"] = value(
        "left_out", "assumed", "clips of a step with the same sentence: not compared, or (released) pushed apart"
    )

    compares_clips: ClassVar[bool] = True
    compares_sentences: ClassVar[bool] = True

    @property
    def has_prefix(self) -> bool:
        """Whether the token is used."""
        return self.token

    @property
    def needs(self) -> tuple[Need, ...]:
        """The features of each sentence, or the encoder itself if they depend on the batch."""
        return ("text_encoder",) if self.average_padding else ("text_features",)

    def problems(self) -> Iterator[str]:
        """The pooling of a token that is switched off."""
        if self.pooling == "first" and not self.token:
            yield 'pooling "first" needs token = true: that is the first row'

    def build(self, sizes: Sizes, inputs: Inputs) -> ContrastiveLoss:
        """The loss, with its token and logit scale."""
        return ContrastiveLoss(self, sizes.segment, inputs)


class ContrastiveLoss(JointLoss):
    """Pooled videos and sentences of a step -> L_VLA (eq 4)."""

    def __init__(self, options: Contrastive, width: int, inputs: Inputs) -> None:
        super().__init__()
        self.options, self.text_features, self.text_encoder = options, inputs.text_features, inputs.text_encoder
        if options.token:
            self.prefix = nn.Parameter(torch.randn(1, width) * 0.02)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(options.logit_scale)))

    def features(self, levels: Levels, batch: Any) -> tuple[Tensor | Padded, ...]:
        """A batch -> pooled video and text features (B, E), and a number for each sentence (B,).

        Equal sentences have equal numbers. The mean of a video includes the token's row."""
        assert levels.video is not None
        if self.options.pooling == "first":
            video = levels.video.values[:, 0]
        else:
            video = levels.video.mean(padding=self.options.average_padding)
        if self.text_encoder is not None:
            text = self.text_encoder(batch.labels).mean(padding=self.options.average_padding)
        else:
            assert self.text_features is not None
            text = torch.stack([self.text_features[sentence] for sentence in batch.texts])
        numbers = torch.tensor([number_of(sentence) for sentence in batch.texts])
        # a copy that blocks would wait for the device, here and in other objectives
        return video, *(each.to(video.device, non_blocking=True) for each in (text, numbers))

    def forward(self, video: Tensor, text: Tensor, sentences: Tensor) -> Tensor:
        """Features of all clips of the step -> the loss."""
        options = self.options
        excluded = same_sentences(sentences) if options.equal_sentences == "left_out" else None
        if options.loss == "divergence":
            return contrastive_divergence(video, text, self.scale(), excluded, options.identity_sharpness)
        return contrastive_loss(video, text, self.scale(), excluded)

    def similarity(self, video: Tensor | Padded, text: Tensor | Padded) -> Tensor:
        """Pooled features of videos (A, E) and of sentences (B, E) -> their cosines (A, B)."""
        assert isinstance(video, Tensor) and isinstance(text, Tensor)
        return cosines(video, text)

    def scale(self) -> Tensor:
        """1 / tau of eq 4, a scalar, clamped to at most MAX_LOGIT_SCALE."""
        return bounded_scale(self.logit_scale)


def bounded_scale(logarithm: nn.Parameter) -> Tensor:
    """ln(1 / tau) -> 1 / tau, a scalar. The parameter is clamped in place, so that it is at most MAX_LOGIT_SCALE."""
    logarithm.data.clamp_(max=math.log(MAX_LOGIT_SCALE))
    return logarithm.exp()


def same_sentences(sentences: Tensor) -> Tensor:
    """Numbers of sentences (B,) -> (B, B) bool, True where two different clips have the same one."""
    return (sentences[:, None] == sentences).fill_diagonal_(False)


def number_of(sentence: str) -> int:
    """A sentence -> a number of 63 bits, the same in every process."""
    return int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big") >> 1


def contrastive_loss(
    video: Tensor, text: Tensor, logit_scale: Tensor | float, excluded: Tensor | None = None
) -> Tensor:
    """Pooled video and text features (B, E) -> L_VLA: symmetric cross-entropy over cosines (eq 4).

    Row i of `video` belongs to row i of `text`; all other rows are negatives, except those `excluded` (B, B).
    `logit_scale` = 1 / tau. The loss is the mean of both directions, as in CLIP. Random features give ln B.
    """
    return pair_cross_entropy(contrastive_logits(video, text, logit_scale), excluded)


def contrastive_divergence(
    video: Tensor,
    text: Tensor,
    logit_scale: Tensor | float,
    excluded: Tensor | None = None,
    sharpness: float = 10.0,
) -> Tensor:
    """Pooled video and text features (B, E) -> the released code's L_VLA: `pair_divergence` of their cosines."""
    return pair_divergence(contrastive_logits(video, text, logit_scale), excluded, sharpness)


def pair_cross_entropy(
    logits: Tensor, excluded: Tensor | None = None, *, smoothing: float = 0.0, share: float = 0.5
) -> Tensor:
    """Logits (B, B) of videos (rows) and texts, pairs on the diagonal -> cross-entropy, averaged over clips.

    `share` is the weight of the rows, where a video looks for its text; the columns have the rest. `excluded` (B, B)
    logits are in no softmax. `smoothing`: the part of each target that is spread evenly over all that is compared.
    """
    if excluded is not None:
        logits = logits.masked_fill(excluded, EXCLUDED)
    pairs = torch.arange(len(logits), device=logits.device)
    directions = [functional.cross_entropy(each, pairs) for each in (logits, logits.T)]
    if smoothing:
        compared = torch.ones_like(logits, dtype=torch.bool) if excluded is None else ~excluded
        even = [
            -(each.log_softmax(dim=-1) * real).sum(dim=-1) / real.sum(dim=-1)
            for each, real in ((logits, compared), (logits.T, compared.T))
        ]
        directions = [
            (1 - smoothing) * loss + smoothing * other.mean() for loss, other in zip(directions, even, strict=True)
        ]
    return share * directions[0] + (1 - share) * directions[1]


def pair_divergence(
    logits: Tensor, excluded: Tensor | None = None, sharpness: float = 10.0, *, share: float = 0.5
) -> Tensor:
    """Logits (B, B) of videos (rows) and texts, pairs on the diagonal -> divergence from a softened identity.

    With q = softmax(sharpness * I) and p = softmax(logits), both along rows: KL(q || p), summed over a row, averaged
    over rows, for the logits and for their transpose; `share` is the weight of the former. The loss is 0 where the
    logit of each pair is `sharpness` above those of its negatives, and grows again beyond that.
    """
    targets = sharpness * torch.eye(len(logits), dtype=logits.dtype, device=logits.device)
    if excluded is not None:
        logits, targets = logits.masked_fill(excluded, EXCLUDED), targets.masked_fill(excluded, EXCLUDED)
    directions = [
        functional.kl_div(p.log_softmax(dim=-1), q.log_softmax(dim=-1), reduction="batchmean", log_target=True)
        for p, q in ((logits, targets), (logits.T, targets.T))
    ]
    return share * directions[0] + (1 - share) * directions[1]


def contrastive_logits(video: Tensor, text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Pooled video and text features (B, E) -> cosines of each video with each text, times `logit_scale`: (B, B).

    Raises ValueError for a single clip: without negatives, eq 4 is always 0.
    """
    if len(video) < 2:
        raise ValueError(f"{len(video)} clip: at least two are needed for a comparison")
    if video.shape != text.shape:
        raise ValueError(f"video {tuple(video.shape)} and text {tuple(text.shape)} differ in shape")
    return cosines(video, text) * logit_scale


def cosines(video: Tensor, text: Tensor) -> Tensor:
    """(A, E) and (B, E) -> (A, B), in float32: half precision would round a cosine to 8 bits before 1 / tau."""
    with torch.autocast(video.device.type, enabled=False):
        return functional.normalize(video.float(), dim=-1) @ functional.normalize(text.float(), dim=-1).T
