"""Retrieval: how often a video's own sentence is among the k most similar ones, and a sentence's video likewise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval:
    """Recall at 1, 5 and 10 in percent and median rank, for N queries, with those of a random order beside them."""

    num_queries: int
    recall: dict[int, float]
    median_rank: float
    recall_by_chance: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


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
    by_chance = {k: 100 * float(np.mean([_chance(int(row.sum()), row.size, k) for row in own])) for k in RECALLS}
    return Retrieval(len(ranks), recall, float(np.median(ranks)), by_chance)


def _chance(right: int, candidates: int, k: int) -> float:
    """The probability that of `k` candidates drawn at random at least one is right."""
    missed = 1.0
    for drawn in range(min(k, candidates)):
        missed *= max(0, candidates - right - drawn) / (candidates - drawn)
    return 1.0 - missed
