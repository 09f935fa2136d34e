"""Statistics of one system or two -> how far chance reaches: intervals, paired tests, sentences won and lost.

All of it treats the sentences of the test set as a sample. What another seed of training would change is not in it.

Bootstrap: N sentences are drawn with repeats, `samples` times, and scored anew; the interval holds the middle `level`
of these scores (percentiles, interpolated linearly). Paired bootstrap: both systems are scored on the same draws; p is
the share of draws in which the system that is ahead on all sentences is not ahead (one-sided; 1 where none is ahead).
Paired approximate randomisation: of each sentence the two systems' hypotheses are exchanged or not, by a coin; p is
(c + 1) / (samples + 1), where c counts the exchanges after which the systems differ at least as much (two-sided).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from glossfree.scoring.statistics import METRICS, Statistics, Values, joined

SAMPLES, LEVEL = 1000, 0.95
NUM_CHANGES = 10  # so many sentences are shown in each direction
SENTENCE_METRIC = "chrf"  # decides who wins a sentence: ROUGE-L of short sentences is often a tie
CELLS = 2_000_000  # indices drawn at a time: 16 MB
EQUAL = 1e-9  # points; sums of the same numbers in another order differ by less


@dataclass(frozen=True)
class Interval:
    """Where the middle share of the draws lies, in the unit of the metric."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One metric of two systems. `difference` is B - A; the two p-values are defined above."""

    a: float
    b: float
    difference: float
    interval: Interval
    p_bootstrap: float
    p_randomisation: float


@dataclass(frozen=True)
class Change:
    """One sentence, by its place, and what A and B score on it (0-100)."""

    index: int
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """System B against system A on the same sentences.

    `wins`, `ties` and `losses` of B count sentences by `sentence_metric`; `better` and `worse` are the sentences on
    which B gains and loses most, the largest change first.
    """

    metrics: dict[str, Difference]
    sentence_metric: str
    wins: int
    ties: int
    losses: int
    better: tuple[Change, ...]
    worse: tuple[Change, ...]
    num_sentences: int
    samples: int
    seed: int


def intervals(
    statistics: Statistics, *, samples: int = SAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, Interval]:
    """N sentences -> {metric: Interval} by percentile bootstrap; one sentence gives its score twice.

    Raises ValueError: no sample, a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    drawn = joined([statistics.resampled(draws) for draws in _draws(statistics.num_sentences, samples, seed)])
    return {name: _interval(values, level) for name, values in drawn.items()}


def compare(a: Statistics, b: Statistics, *, samples: int = SAMPLES, seed: int = 0) -> Comparison:
    """The same sentences by two systems, under one convention -> Comparison.

    Raises ValueError: other sentences, another convention, no sample.
    """
    if (a.num_sentences, a.convention) != (b.num_sentences, b.convention):
        raise ValueError("two systems are compared on the same sentences, under one convention")
    scores_a, scores_b = a.scores(), b.scores()
    drawn = _differences((a.resampled(draws), b.resampled(draws)) for draws in _draws(a.num_sentences, samples, seed))
    exchanged = _differences(
        (a.swapped(b, coins), b.swapped(a, coins)) for coins in _coins(a.num_sentences, samples, seed)
    )
    metrics = {}
    for name in METRICS:
        difference = scores_b[name] - scores_a[name]
        ahead = 0.0 if abs(difference) <= EQUAL else np.sign(difference)
        metrics[name] = Difference(
            scores_a[name],
            scores_b[name],
            difference,
            _interval(drawn[name], LEVEL),
            float((ahead * drawn[name] <= EQUAL).mean()),
            float((1 + (np.abs(exchanged[name]) >= abs(difference) - EQUAL).sum()) / (samples + 1)),
        )
    of_a, of_b = a.sentence_scores()[SENTENCE_METRIC], b.sentence_scores()[SENTENCE_METRIC]
    change = of_b - of_a
    wins, losses = int((change > EQUAL).sum()), int((change < -EQUAL).sum())
    order = np.argsort(-change, kind="stable")
    return Comparison(
        metrics=metrics,
        sentence_metric=SENTENCE_METRIC,
        wins=wins,
        ties=len(change) - wins - losses,
        losses=losses,
        better=_changes(order[:wins], of_a, of_b),
        worse=_changes(np.argsort(change, kind="stable")[:losses], of_a, of_b),
        num_sentences=a.num_sentences,
        samples=samples,
        seed=seed,
    )


def _draws(num_sentences: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """`samples` rows of indices (R, N), as many at a time as fit into CELLS."""
    random = np.random.default_rng([seed, 0])
    for rows in _chunks(num_sentences, samples):
        yield random.integers(0, num_sentences, size=(rows, num_sentences))


def _coins(num_sentences: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """`samples` rows of coins (R, N), True where hypotheses are exchanged."""
    random = np.random.default_rng([seed, 1])
    for rows in _chunks(num_sentences, samples):
        yield random.integers(0, 2, size=(rows, num_sentences)).astype(bool)


def _chunks(num_sentences: int, samples: int) -> Iterator[int]:
    if samples < 1:
        raise ValueError(f"{samples} samples")
    at_once = max(1, CELLS // num_sentences)
    for first in range(0, samples, at_once):
        yield min(at_once, samples - first)


def _differences(scored: Iterable[tuple[Values, Values]]) -> Values:
    """Scores of A and of B, some draws at a time -> {metric: (samples,)} B - A."""
    return joined([{name: of_b[name] - of_a[name] for name in METRICS} for of_a, of_b in scored])


def _interval(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _changes(order: np.ndarray, of_a: np.ndarray, of_b: np.ndarray) -> tuple[Change, ...]:
    return tuple(Change(int(index), float(of_a[index]), float(of_b[index])) for index in order[:NUM_CHANGES])
