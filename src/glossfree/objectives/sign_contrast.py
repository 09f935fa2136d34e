"""Frame features -> SignCL's loss: neighbours in time attract, frames far apart repel (Ye et al. 2024, eqs 4-6).

B clips, T frames, D width, K negatives, L tokens of a sentence. Each real frame i of a clip is an anchor:

    d+    distance to i - 1 and i + 1, the mean of both
    d-    distance to K frames j of the same clip with |i - j| > 2 * reach, reach = max(min_reach, zipf * T / L)
    loss  d+ + mean over K of max(0, m - d-)                             (paper)
          mean of softplus(d+ - m) + mean over K of softplus(m - d-)     (released)

The loss is the mean over all real frames of a batch. A term without a pair is 0: d- in clips too short for negatives,
and both terms in clips of one frame. T and L belong to each clip, and padding is neither anchor nor negative. The
released code uses the longest T and L of the batch, counts padding as frames, skips the outer frames of a clip and
divides by B twice.

`scale_free`, which we added, divides distances by the mean distance between two frames of the clip. The margins of the
paper (64) and of the released code (32) are in units of ResNet features. After FrameNorm, unrelated frames with
D = 512 are 32 apart in L2 and 578 in L1: with L2 every negative would have a cost, with L1 none. The loss
and its gradient are then 32 times smaller (L2), and its weight has to be larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED, SPECIAL_TOKENS
from glossfree.objectives.base import Inputs, Level, Objective, SeparableLoss, Sizes
from glossfree.padded import Padded
from glossfree.settings import value

# Least scale of a clip, as a share of its frames' mean norm. In a clip without motion, distances are rounding errors
# (0.4 % in bfloat16). As gradients grow with 1 / scale, it would dominate all other clips.
LEAST_SCALE = 0.01
# n held signs, equally far from each other, are n / (n - 1) mean distances apart: two signs 2, ten signs about 1.1, the
# default margin. Above 2 nearly every negative has a cost.
WIDEST_MARGIN = 2.0
GOLDEN_RATIO = 0.6180339887  # its multiples, modulo 1, fill [0, 1) evenly

Form = Literal["hinge", "softplus"]


class SignContrast(Objective):
    """Which frames repel each other, and up to which distance. "Stated" and "released" refer to Ye et al. here."""

    weight: float = value(
        0.32,
        "derived",
        "weight of the loss: with scale_free, 32 times that without (stated: 0.01 in both stages)",
        ge=0,
    )
    distance: Literal["l2", "l1"] = value(
        "l2", "stated", "between two frames: Euclidean, or (released) the sum of absolute differences"
    )
    loss: Form = value("hinge", "stated", "d+ + max(0, m - d-), or (released) softplus(d+ - m) + softplus(m - d-)")
    scale_free: bool = value(True, "assumed", "divide distances by the mean distance of two frames of the clip")
    margin: float = value(
        1.1,
        "assumed",
        "m, in mean distances of a clip; without scale_free in units of features (64 or 32)",
        gt=0,
        le=1e6,
    )
    negatives: int = value(4, "released", "frames that each frame is pushed away from", ge=1, le=1000)
    zipf: float = value(2.3, "stated", "reach of a sign in frames, as a multiple of frames per token", ge=0)
    min_reach: int = value(10, "stated", "least reach of a sign; negatives lie beyond twice its reach", ge=0)

    level: ClassVar[Level] = "frame"

    def problems(self) -> Iterator[str]:
        """A margin that is in the wrong unit."""
        if self.scale_free and self.margin > WIDEST_MARGIN:
            unit = f"is in mean distances of a clip, at most {WIDEST_MARGIN:g}"
            yield f"margin {self.margin:g} {unit}; one in units of the features needs scale_free = false"

    def build(self, sizes: Sizes, inputs: Inputs) -> SignContrastLoss:
        """A loss without parameters of its own."""
        return SignContrastLoss(self, sizes.special_tokens)


class SignContrastLoss(SeparableLoss):
    """Frame features -> SignCL's loss, a mean over frames.

    Negatives are drawn at random in training and are fixed in evaluation. Without labels, the reach is `min_reach`.
    """

    def __init__(self, options: SignContrast, special_tokens: int = SPECIAL_TOKENS) -> None:
        super().__init__()
        self.special_tokens = special_tokens
        self.options, self.order = options, {"l2": 2, "l1": 1}[options.distance]

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch, in float32: half precision would lose the small difference between d- and m."""
        assert levels.frame is not None
        options, lengths = self.options, levels.frame.lengths
        with torch.autocast(levels.frame.values.device.type, enabled=False):
            frames = levels.frame.with_values(levels.frame.values.float()).zeroed()
            values = frames.values
            tokens = None if batch.labels is None else (batch.labels != IGNORED).sum(dim=1) - self.special_tokens
            gaps = negative_gaps(lengths, tokens, options.zipf, options.min_reach)
            draws = values.new_empty(*values.shape[:2], options.negatives)
            draws = draws.uniform_() if self.training else even_draws(draws)
            negatives, exist = far_frames(lengths, gaps, draws)
            # One scale for each clip, so that the loss does not depend on how a step is split into batches. With one
            # scale for the corpus, no negative would reach the margin: frames of one signer in one studio are alike.
            scale = mean_distance(frames, self.order) if options.scale_free else values.new_ones(len(values))
            return sign_contrast_loss(frames, negatives, exist, scale, options.margin, self.order, options.loss)

    def units(self, batch: Any) -> float:
        """The number of its frames."""
        return float(batch.lengths.sum())


def negative_gaps(lengths: Tensor, tokens: Tensor | None, zipf: float, min_reach: int) -> Tensor:
    """Lengths (B,) in frames and tokens (B,) -> the least |i - j| of negatives (B,), int64: the first > 2 * reach.

    A sentence without tokens counts as one token. If `tokens` is None, reach = min_reach.
    """
    if tokens is None:
        return torch.full_like(lengths, 2 * min_reach + 1)
    reach = (zipf * lengths / tokens.clamp(min=1)).clamp(min=min_reach)
    return (2 * reach).floor().long() + 1


def even_draws(like: Tensor) -> Tensor:
    """A tensor (B, T, K) -> draws in [0, 1) of its shape, for evaluation: equal for all clips and all K.

    They differ between frames. With a single draw, only a few distances in time would be compared.
    """
    steps = torch.arange(like.shape[1], dtype=like.dtype, device=like.device)
    return (steps * GOLDEN_RATIO % 1)[:, None].expand_as(like)


def far_frames(lengths: Tensor, gaps: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths and gaps (B,) in frames, draws (B, T, K) in [0, 1] -> negatives (B, T, K) of each frame, and which exist.

    Frame i has n frames j with |i - j| >= gap. They are split in order into K equal parts, and draw k selects one frame
    of part k. Uniform draws select each frame equally often, spread over the clip; equal draws are evenly spaced.
    Negatives are frame numbers within the clip, undefined where `exist` (B, T) is false (n = 0, or i is padding).
    """
    steps, number = torch.arange(draws.shape[1], device=draws.device), draws.shape[2]
    before = (steps - gaps[:, None] + 1).clamp(min=0)  # negatives j <= i - gap
    after = (lengths[:, None] - gaps[:, None] - steps).clamp(min=0)  # negatives j >= i + gap
    count = (before + after)[..., None]
    parts = torch.arange(number, device=draws.device) + draws
    rank = (parts * count / number).long().minimum(count - 1).clamp(min=0)
    frame = torch.where(rank < before[..., None], rank, rank - before[..., None] + (steps + gaps[:, None])[..., None])
    exist = (count[..., 0] > 0) & (steps < lengths[:, None])
    return frame.clamp(max=draws.shape[1] - 1), exist


@torch.no_grad()
def mean_distance(frames: Padded, order: int) -> Tensor:
    """Frames Padded (B, T, D) -> the mean L1 or L2 (`order`) distance between two frames of each clip: (B,), detached.

    At least LEAST_SCALE of the mean norm of the clip's frames, and above 0.
    """
    mask, lengths = frames.mask, frames.lengths
    # L2 by matrix products: 13 times faster, and exact enough for a mean (but not for distances near 0, as for i = j)
    mode = "use_mm_for_euclid_dist"
    distances = torch.cdist(frames.values, frames.values, p=float(order), compute_mode=mode)
    total = distances.masked_fill(~(mask[:, :, None] & mask[:, None]), 0.0).triu(1).sum(dim=(1, 2))
    norms = frames.with_values(torch.linalg.vector_norm(frames.values, order, dim=-1, keepdim=True)).mean()[:, 0]
    pairs = (lengths * (lengths - 1) / 2).clamp(min=1)
    return (total / pairs).maximum(LEAST_SCALE * norms).clamp(min=1e-12)


def sign_contrast_loss(
    frames: Padded, negatives: Tensor, exist: Tensor, scale: Tensor, margin: float, order: int, form: Form
) -> Tensor:
    """Frames Padded (B, T, D), with finite padding, and their negatives (B, T, K) -> the loss, a scalar.

    `exist` (B, T): which frames have negatives; `scale` (B,): divisor of each clip's distances; `order`: 1 for L1,
    2 for L2.
    """
    values, mask = frames.values, frames.mask
    steps = torch.linalg.vector_norm(values[:, 1:] - values[:, :-1], order, dim=-1) / scale[:, None]
    attraction = mean_of_neighbours(steps if form == "hinge" else functional.softplus(steps - margin), mask[:, 1:])
    # embedding sums its gradient in a fixed order; with two threads, the gradient of indexing varies between runs
    starts = torch.arange(len(values), device=values.device) * values.shape[1]
    others = functional.embedding(negatives + starts[:, None, None], values.flatten(0, 1))
    apart = torch.linalg.vector_norm(values[:, :, None] - others, order, dim=-1) / scale[:, None, None]
    repulsion = functional.relu(margin - apart) if form == "hinge" else functional.softplus(margin - apart)
    total = attraction.sum() + repulsion.mean(dim=2).masked_fill(~exist, 0.0).sum()
    return total / frames.lengths.sum().clamp(min=1)


def mean_of_neighbours(terms: Tensor, real: Tensor) -> Tensor:
    """Terms (B, T - 1) of frames i and i + 1, valid where `real` -> the mean over each frame's neighbours (B, T)."""
    sums, counts = (
        functional.pad(each, (1, 0)) + functional.pad(each, (0, 1))
        for each in (terms.masked_fill(~real, 0.0), real.to(terms.dtype))
    )
    return sums / counts.clamp(min=1)
