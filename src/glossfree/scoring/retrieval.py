"""Retrieval: how often a video's own sentence is among the k most similar ones, and a sentence's video likewise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval:
    """Recall at 1, 5 and 10 in percent and median rank, for N queries, with those of a random order beside them.

    Its median rank is the first that at least half of the queries are expected to reach."""

    num_queries: int
    recall: dict[int, float]
    median_rank: float
    recall_by_chance: dict[int, float]
    median_rank_by_chance: float


def retrieval(similarities: np.ndarray, sentences: Sequence[str]) -> dict[str, Retrieval]:
    """(N, N) similarities of videos (rows) and their sentences -> {"video to text": ..., "text to video": ...}.

    Equal sentences cannot be told apart: each counts as every such video's own, and a query's rank is that of the
    first of its own. Candidates of equal similarity are ranked against the query. Raises ValueError for other shapes.
    """
    if similarities.shape != (len(sentences), len(sentences)):
        raise ValueError(f"{similarities.shape} similarities do not fit {len(sentences)} sentences")
    texts = np.array(sentences, dtype=object)
    own = texts[:, None] == texts[None]
    return {"video to text": _ranks(similarities, own), "text to video": _ranks(similarities.T, own.T)}


def _ranks(similarities: np.ndarray, own: np.ndarray) -> Retrieval:
    """Similarities (N, M) of queries and candidates, and which candidates are right -> how well they are ranked."""
    best = np.where(own, similarities, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((similarities >= best) & ~own).sum(axis=1)
    recall = {k: 100 * float((ranks <= k).mean()) for k in RECALLS}
    by_chance = _by_chance(own)
    at = {k: 100 * float(by_chance[min(k, len(by_chance)) - 1]) for k in RECALLS}
    return Retrieval(len(ranks), recall, float(np.median(ranks)), at, float(np.argmax(by_chance > 0.5 - 1e-9) + 1))


def _by_chance(own: np.ndarray) -> np.ndarray:
    """Which of M candidates (N, M) are right -> (M,) the share of queries with rank 1, 2, ... M or better.

    The order is random; the rank of a query is that of its first right candidate.
    """
    right, times = np.unique(own.sum(axis=1), return_counts=True)
    left = own.shape[1] - np.arange(own.shape[1])  # candidates that are still to be drawn
    missed = np.cumprod(np.maximum(0, left - right[:, None]) / left, axis=1)
    return 1 - np.average(missed, axis=0, weights=times)
