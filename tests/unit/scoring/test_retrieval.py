"""Retrieval against a naive loop, equal sentences, ties, and the recall of a random order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from glossfree.scoring.retrieval import RECALLS, retrieval


def naive(similarities: np.ndarray, sentences: list[str]) -> list[int]:
    ranks = []
    for query, text in enumerate(sentences):
        order = sorted(range(len(sentences)), key=lambda other: -similarities[query, other])
        ranks.append(1 + next(place for place, other in enumerate(order) if sentences[other] == text))
    return ranks


def test_both_directions_are_those_of_a_loop() -> None:
    similarities = np.random.default_rng(0).normal(size=(30, 30)) + 1.5 * np.eye(30)
    sentences = [f"sentence {number % 27}" for number in range(30)]
    found = retrieval(similarities, sentences)
    for name, matrix in (("video to text", similarities), ("text to video", similarities.T)):
        ranks = np.array(naive(matrix, sentences))
        assert found[name].recall == {k: pytest.approx(100 * (ranks <= k).mean()) for k in RECALLS}
        assert found[name].median_rank == np.median(ranks)


def test_a_tie_counts_against_the_query() -> None:
    found = retrieval(np.zeros((4, 4)), ["a", "b", "c", "d"])["video to text"]
    assert (found.recall[1], found.median_rank) == (0.0, 4.0)


def test_chance_is_the_mean_over_all_orders() -> None:
    sentences = ["a", "a", "b", "c"]
    hits = [order[0] in (0, 1) for order in permutations(range(4))]
    chance = (2 * np.mean(hits) + 2 * 0.25) / 4
    assert retrieval(np.eye(4), sentences)["text to video"].recall_by_chance[1] == pytest.approx(100 * chance)


def test_the_rank_by_chance_is_that_of_all_orders() -> None:
    sentences = ["a", "a", "a", "b", "c"]
    ranks = [
        1 + min(order.index(other) for other, text in enumerate(sentences) if text == query)
        for order in permutations(range(5))
        for query in sentences
    ]
    found = retrieval(np.eye(5), sentences)["text to video"]
    reached = next(rank for rank in range(1, 6) if np.mean(np.array(ranks) <= rank) >= 0.5)
    assert found.median_rank_by_chance == reached == 2
    assert found.recall_by_chance == {k: pytest.approx(100 * np.mean(np.array(ranks) <= k)) for k in RECALLS}
    assert retrieval(np.eye(642), [*map(str, range(642))])["text to video"].median_rank_by_chance == 321


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        retrieval(np.eye(3), ["a", "b"])
