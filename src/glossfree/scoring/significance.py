"""Statistics of one system or two -> confidence intervals, paired tests, sentences won and lost.

The sentences of the test set are treated as a sample. Variation between training runs is not covered.

Bootstrap: N sentences are drawn with repeats, `samples` times, and scored; the interval holds the middle LEVEL of
these scores (percentiles, interpolated linearly). Paired bootstrap: both systems are scored on the same draws; p is the
share of draws in which the system that leads on all sentences does not lead (one-sided; 1 where neither leads).
Paired approximate randomisation: each sentence's two hypotheses are swapped with probability 1/2; p is
(c + 1) / (samples + 1), where c counts the samples in which the systems differ at least as much (two-sided).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glossfree.scoring.statistics import METRICS, Statistics, Values, chrf

SAMPLES, LEVEL = 1000, 0.95
NUM_CHANGES = 10  # sentences listed in each direction
SENTENCE_METRIC = "chrf"  # decides which system wins a sentence: ROUGE-L often ties on short ones
CHUNK = 64  # draws at a time: 64 x 20,000 weights take 10 MB
FEW = 20  # sentences; the bootstrap is surer of fewer: 95 % intervals of means of 4, 10, 20 values hold 80, 89, 92 %
EQUAL = 1e-9  # points; sums of the same numbers in another order differ by less


@dataclass(frozen=True)
class Interval:
    """The range of the middle LEVEL of the draws, in the unit of the metric."""

    low: float
    high: float

    def to_text(self) -> str:
        """Both ends, with two digits."""
        return f"{self.low:.2f} to {self.high:.2f}"


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
    """The index of a sentence and the scores of A and B on it (0-100)."""

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


def intervals(statistics: Statistics, *, samples: int = SAMPLES, seed: int = 0) -> dict[str, Interval]:
    """N sentences -> {metric: Interval} by percentile bootstrap. Raises ValueError where there is no sample."""
    num_sentences = statistics.num_sentences
    draws = _random_rows(samples, num_sentences, below=num_sentences, seed=[seed, 0])
    scores = _join([statistics.resampled(indices) for indices in draws])
    return {name: _interval(values) for name, values in scores.items()}


def compare(a: Statistics, b: Statistics, *, samples: int = SAMPLES, seed: int = 0) -> Comparison:
    """The same sentences by two systems, under one convention -> Comparison.

    Raises ValueError: different sentences or conventions, no sample.
    """
    if (a.num_sentences, a.convention) != (b.num_sentences, b.convention):
        raise ValueError("two systems are compared on the same sentences, under one convention")
    num_sentences, scores_a, scores_b = a.num_sentences, a.scores(), b.scores()
    draws = _random_rows(samples, num_sentences, below=num_sentences, seed=[seed, 0])
    resampled = _join([_subtract(b.resampled(indices), a.resampled(indices)) for indices in draws])
    coins = _random_rows(samples, num_sentences, below=2, seed=[seed, 1])
    swapped = _join([_subtract(b.swapped(a, mask), a.swapped(b, mask)) for mask in (rows > 0 for rows in coins)])
    metrics = {}
    for name in METRICS:
        difference = scores_b[name] - scores_a[name]
        sign = 0.0 if abs(difference) <= EQUAL else np.sign(difference)
        metrics[name] = Difference(
            scores_a[name],
            scores_b[name],
            difference,
            _interval(resampled[name]),
            float((sign * resampled[name] <= EQUAL).mean()),
            float((1 + (np.abs(swapped[name]) >= abs(difference) - EQUAL).sum()) / (samples + 1)),
        )
    sentences_a, sentences_b = chrf(a.table), chrf(b.table)
    change = sentences_b - sentences_a
    wins, losses = int((change > EQUAL).sum()), int((change < -EQUAL).sum())
    better, worse = np.argsort(-change, kind="stable")[:wins], np.argsort(change, kind="stable")[:losses]
    return Comparison(
        metrics=metrics,
        sentence_metric=SENTENCE_METRIC,
        wins=wins,
        ties=num_sentences - wins - losses,
        losses=losses,
        better=tuple(Change(int(i), float(sentences_a[i]), float(sentences_b[i])) for i in better[:NUM_CHANGES]),
        worse=tuple(Change(int(i), float(sentences_a[i]), float(sentences_b[i])) for i in worse[:NUM_CHANGES]),
        num_sentences=num_sentences,
        samples=samples,
        seed=seed,
    )


def few_sentences(num_sentences: int) -> Iterator[str]:
    """A note where a test set is too small for a comparison, or for its bootstrap.

    If B is better on each of N sentences, only 2 of the 2^N ways to swap make as much of a difference.
    """
    least = 0.5 ** (num_sentences - 1)
    if least > 1 - LEVEL:
        few = f"note: too few sentences ({num_sentences}) to say which system is better"
        yield f"{few}: p swap is about {least:.2g} at best, and the bootstrap's interval and p are too sure"
    elif num_sentences < FEW:
        yield f"note: of {num_sentences} sentences, the bootstrap's interval and p are too sure; p swap is not"


def _random_rows(num_rows: int, length: int, *, below: int, seed: list[int]) -> Iterator[np.ndarray]:
    """Rows of random integers in [0, below), CHUNK rows at a time; the values do not depend on CHUNK."""
    if num_rows < 1:
        raise ValueError(f"{num_rows} samples")
    random = np.random.default_rng(seed)
    for first in range(0, num_rows, CHUNK):
        yield random.integers(0, below, size=(min(CHUNK, num_rows - first), length))


def _join(parts: Sequence[Values]) -> Values:
    """{metric: (R,)} of each chunk -> {metric: (sum of R,)}."""
    return {name: np.concatenate([part[name] for part in parts]) for name in METRICS}


def _subtract(scores_b: Values, scores_a: Values) -> Values:
    return {name: scores_b[name] - scores_a[name] for name in METRICS}


def _interval(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
