"""Scores of pseudo-glosses -> the set that each clip is said to have, and its precision, recall and F1.

N clips, P pseudo-glosses. A clip is said to have those that score at least a threshold, one for all. It is chosen on
the dev split: the one with the highest micro F1, the highest threshold of several. All values are on 0-100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SetScores:
    """Micro: over all clips and pseudo-glosses at once. Macro: the mean over the pseudo-glosses that a clip of the
    split has; precision is 0 where none is predicted. `per_clip`: predicted pseudo-glosses of a clip, on average."""

    threshold: float
    precision: float
    recall: float
    f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_clip: float


def choose_threshold(scores: np.ndarray, targets: np.ndarray) -> float:
    """Scores and multi-hot targets (N, P) -> the threshold with the highest micro F1.

    Raises ValueError without scores, or for other shapes.
    """
    if scores.shape != targets.shape or not scores.size:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape}: equal shapes expected, and not empty")
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked, right = scores.ravel()[order], np.cumsum(targets.ravel()[order] > 0)
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + max(1, right[-1]))
    is_last = np.append(ranked[1:] != ranked[:-1], True)  # equal scores are predicted together
    return float(ranked[is_last][np.argmax(f1[is_last])])


def set_scores(scores: np.ndarray, targets: np.ndarray, threshold: float) -> SetScores:
    """Scores and multi-hot targets (N, P) -> SetScores of those at or above a threshold."""
    predicted, wanted = scores >= threshold, targets > 0
    right, chosen, present = (each.sum(axis=0) for each in (predicted & wanted, predicted, wanted))
    precision, recall, f1 = (float(each) for each in _rates(right.sum(), chosen.sum(), present.sum()))
    of_present = (each[present > 0] for each in _rates(right, chosen, present))
    macro = {
        f"macro_{name}": float(each.mean()) if len(each) else 0.0
        for name, each in zip(("precision", "recall", "f1"), of_present, strict=True)
    }
    return SetScores(threshold, precision, recall, f1, **macro, per_clip=float(chosen.sum() / max(1, len(scores))))


def _rates(right: np.ndarray, chosen: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts -> precision, recall and F1 on 0-100, 0 where a denominator is."""
    return (
        100 * right / np.maximum(chosen, 1),
        100 * right / np.maximum(present, 1),
        200 * right / np.maximum(chosen + present, 1),
    )
