"""Model outputs -> the numbers that training minimises: one pure function per equation of the paper.

B clips, P pseudo-glosses, E language width, L tokens, V vocabulary. Everything is computed in float32, whatever the
precision of the forward pass: logarithms of numbers near 0 and 1 have no room in half precision.
"""

from __future__ import annotations

from torch import Tensor, arange, autocast, eye
from torch.nn import functional

# float32 resolves 1 - 1e-6; a score of exactly 0 or 1 then costs 13.8 nats instead of infinity
SCORE_MARGIN = 1e-6


def pseudo_gloss_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Scores and multi-hot targets (B, P) -> L_PG: binary cross-entropy, averaged over B and P (eq 3).

    Scores already lie in [0, 1], so no sigmoid stands between (`sigmoid_pseudo_gloss_loss` has one). They are kept
    SCORE_MARGIN away from 0 and 1, and so is the gradient finite.
    """
    if scores.shape != targets.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and targets {tuple(targets.shape)} differ in shape")
    certain = scores.float().clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)
    wanted = targets.float()
    return -(wanted * certain.log() + (1 - wanted) * (1 - certain).log()).mean()


def sigmoid_pseudo_gloss_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Scores and multi-hot targets (B, P) -> what the released code takes for L_PG: a sigmoid stands between.

    A score in [0, 1] becomes a probability in [0.50, 0.73]: a wanted pseudo-gloss costs 0.31 at best, an unwanted one
    ln 2, and as nearly all are unwanted, so does the average.
    """
    return pseudo_gloss_loss(scores.float().sigmoid(), targets)


def contrastive_loss(video: Tensor, text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Pooled video and text features (B, E) -> L_VLA: symmetric cross-entropy over cosines (eq 4).

    Row i of `video` belongs to row i of `text`; all other rows are negatives. `logit_scale` = 1 / tau.
    The mean of both directions, as in CLIP; ln B is chance.
    """
    logits = contrastive_logits(video, text, logit_scale)
    pairs = arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


def contrastive_divergence(video: Tensor, text: Tensor, logit_scale: Tensor | float, sharpness: float = 10.0) -> Tensor:
    """Pooled video and text features (B, E) -> what the released code takes for L_VLA: a softened identity as target.

    With q = softmax(sharpness * I) and p = softmax(logits), both along rows: KL(q || p), summed over a row, averaged
    over rows, for logits (B, B) and for their transpose; the mean of both. 0 where each logit of a pair is `sharpness`
    above those of its negatives; further apart is not better.
    """
    logits = contrastive_logits(video, text, logit_scale)
    wanted = (sharpness * eye(len(logits), device=logits.device)).log_softmax(dim=-1)
    directions = [
        functional.kl_div(each.log_softmax(dim=-1), wanted, reduction="batchmean", log_target=True)
        for each in (logits, logits.T)
    ]
    return (directions[0] + directions[1]) / 2


def contrastive_logits(video: Tensor, text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Pooled video and text features (B, E) -> cosines of each video with each text, times `logit_scale`: (B, B).

    Raises ValueError for a clip alone: it has no negatives, and eq 4 would be 0 whatever it is.
    """
    if len(video) < 2:
        raise ValueError(f"{len(video)} clip cannot be compared with others")
    if video.shape != text.shape:
        raise ValueError(f"video {tuple(video.shape)} and text {tuple(text.shape)} differ in shape")
    with autocast(video.device.type, enabled=False):  # a product would be rounded to 8 bits, then multiplied by 1 / tau
        cosines = functional.normalize(video.float(), dim=-1) @ functional.normalize(text.float(), dim=-1).T
        return cosines * logit_scale


def pretraining_loss(
    contrastive: Tensor, pseudo_gloss: Tensor, *, contrastive_weight: float = 1.0, pseudo_gloss_weight: float = 10.0
) -> Tensor:
    """L_VLA and L_PG -> L_pre = contrastive_weight * L_VLA + lambda * L_PG (eq 5, lambda = pseudo_gloss_weight)."""
    return contrastive_weight * contrastive + pseudo_gloss_weight * pseudo_gloss


def translation_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Token logits (B, L, V) and labels (B, L), -100 = ignored -> L_SLT: mean cross-entropy of a token (eq 6)."""
    if logits.shape[:-1] != labels.shape:
        raise ValueError(f"logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)}")
    return functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, label_smoothing=label_smoothing
    )
