"""One row of counts per sentence, from which every score is computed: summed rows give the scores of any selection.

sacrebleu counts the corpus once. Scores of subsets, bootstrap samples and mixtures of two systems are then functions
of sums over rows. BLEU is computed here for many sums at once, and tests check that it equals sacrebleu's: 1,000
samples under a convention that averages over batches need 164,000 BLEU scores, which take sacrebleu's function 3 s.

BLEU-n, from counts summed over sentences: min(1, exp(1 - r / h)) times the geometric mean of the precisions of the
n-grams of the orders 1 to n, with h and r words of hypotheses and references. A precision of 0 is smoothed: "exp" gives
the k-th such order 1 / (2^k total), "floor" gives value / total, "none" 0. With an effective order, orders without any
n-gram in the hypotheses are left out; otherwise they make BLEU 0. Without any match BLEU is 0.
"""

from __future__ import annotations

import base64
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from glossfree.scoring.conventions import Convention
from glossfree.scoring.rouge import rouge_of, rouge_signature

MAX_ORDER = 4
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "exact", "length_ratio")
BLEUS = METRICS[:MAX_ORDER]
# columns of the table: words of hypothesis and reference, matching n-grams, all n-grams, ROUGE-L, equal, 1, characters
HYPOTHESIS_WORDS, REFERENCE_WORDS, MATCHES, TOTALS = 0, 1, slice(2, 6), slice(6, 10)
ROUGE, EXACT, ONE, CHARACTERS = 10, 11, 12, slice(13, 31)
# `packed`: eight columns of 16 bits, all their high bytes last; ROUGE-L of a sentence in steps
PACKED_COLUMNS, ROUGE_STEPS = 8, 65535
PACKING = [{"id": lzma.FILTER_LZMA1, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Statistics:
    """N sentences under one convention: `table` (N, 31), its columns as above; `signatures` of the metrics."""

    table: np.ndarray
    convention: Convention
    signatures: dict[str, str]

    @classmethod
    def of(cls, hypotheses: Sequence[str], references: Sequence[str], convention: Convention) -> Statistics:
        """Hypotheses and their references, in the same order. Raises ValueError: no sentence, or lists that differ."""
        if len(hypotheses) != len(references):
            raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
        if not references:
            raise ValueError("no sentence to score")
        sides = [[convention.prepare(text) for text in side] for side in (hypotheses, references)]
        spaced = [[convention.spaced(text) for text in side] for side in sides]
        pairs = list(zip(*sides, strict=True))
        words = BLEU(tokenize=convention.tokenize, force=True)._extract_corpus_statistics(spaced[0], [spaced[1]])
        others = [(rouge, a == b, 1) for rouge, (a, b) in zip(rouge_of(pairs, convention), pairs, strict=True)]
        characters = CHRF()._extract_corpus_statistics(sides[0], [sides[1]])
        table = np.hstack([np.array(columns, np.float64) for columns in (words, others, characters)])
        return cls(table, convention, _signatures(convention))

    def packed(self) -> str:
        """The table as text without any sentence, about 5 bytes each, for a record; `unpacked` restores it.

        For BLEU, ROUGE-L (rounded) and exact match. What chrF counts is left out: it takes more than all the rest.
        """
        table = self.table
        rouge = np.rint(table[:, ROUGE] * ROUGE_STEPS)
        columns = [*table[:, : MATCHES.stop].T, rouge, table[:, EXACT]]  # n-grams are counted by the number of words
        halves = np.array(columns).astype("<u2").view(np.uint8).reshape(PACKED_COLUMNS, len(table), 2)
        content = lzma.compress(halves.transpose(2, 0, 1).tobytes(), lzma.FORMAT_ALONE, filters=PACKING)
        return base64.b85encode(content).decode()

    @classmethod
    def unpacked(cls, text: str, convention: Convention) -> Statistics:
        """Inverse of `packed`: ROUGE-L of a sentence to 0.001 of 100, chrF 0. Raises ValueError."""
        try:
            content = np.frombuffer(lzma.decompress(base64.b85decode(text)), np.uint8)
        except lzma.LZMAError as error:
            raise ValueError(f"not packed statistics ({error})") from error
        halves = np.ascontiguousarray(content.reshape(2, PACKED_COLUMNS, -1).transpose(1, 2, 0))
        columns = halves.view("<u2")[..., 0].astype(np.float64)
        totals = [np.maximum(columns[HYPOTHESIS_WORDS] - shorter, 0) for shorter in range(MAX_ORDER)]
        ones = np.ones_like(columns[0])
        rows = [*columns[: MATCHES.stop], *totals, columns[-2] / ROUGE_STEPS, columns[-1], ones]
        no_characters = np.zeros((CHARACTERS.stop - CHARACTERS.start, len(ones)))
        return cls(np.vstack([*rows, no_characters]).T, convention, _signatures(convention))

    @property
    def num_sentences(self) -> int:
        """N."""
        return len(self.table)

    def scores(self) -> dict[str, float]:
        """{metric: score of all sentences}: 0-100, except `length_ratio` (hypothesis words / reference words)."""
        return {name: float(value[0]) for name, value in self._each([self.table]).items()}

    def select(self, indices: Sequence[int] | np.ndarray) -> Statistics:
        """Some of the sentences. Raises ValueError where there are none."""
        if not len(indices):
            raise ValueError("no sentence to score")
        return Statistics(self.table[np.asarray(indices)], self.convention, self.signatures)

    def resampled(self, draws: np.ndarray) -> Values:
        """draws (R, N') indices of sentences, with repeats -> {metric: (R,)}, the scores of each draw."""
        if self.convention.average != "corpus":
            return self._each(self.table[draw] for draw in draws)
        counts = np.stack([np.bincount(draw, minlength=len(self.table)) for draw in draws])
        return self._metrics(counts.astype(np.float64) @ self.table)

    def swapped(self, other: Statistics, masks: np.ndarray) -> Values:
        """masks (R, N), True where the other system's sentence is used -> {metric: (R,)}.

        `other`: the same sentences under the same convention.
        """
        if self.convention.average != "corpus":
            return self._each(np.where(mask[:, None], other.table, self.table) for mask in masks)
        return self._metrics(self.table.sum(0) + masks.astype(np.float64) @ (other.table - self.table))

    def _each(self, tables: Iterable[np.ndarray]) -> Values:
        """{metric: (R,)} of R tables of sentences in their order, averaged as the convention says."""
        scores = [self._metrics(table.sum(0)) | self._mean_bleu(table) for table in tables]
        return {name: np.array([values[name] for values in scores]) for name in METRICS}

    def _mean_bleu(self, table: np.ndarray) -> Values:
        """(N, 31) -> {BLEU-n: ()}, the mean over batches or shards; {} where the convention scores the corpus."""
        if self.convention.average == "corpus":
            return {}
        size = self.convention.size
        if self.convention.average == "batches":
            sums = np.add.reduceat(table, np.arange(0, len(table), size), axis=0)
            weights = sums[:, ONE] / len(table)
        else:
            padded = np.resize(np.arange(len(table)), -(-len(table) // size) * size)
            sums = table[padded.reshape(-1, size)].sum(0)
            weights = np.full(size, 1 / size)
        return {name: (weights * bleu(sums, order, self.convention)).sum() for order, name in enumerate(BLEUS, start=1)}

    def _metrics(self, sums: np.ndarray) -> Values:
        """Sums (..., 31) -> {metric: (...)}."""
        return {
            **{name: bleu(sums, order, self.convention) for order, name in enumerate(BLEUS, start=1)},
            "rouge_l": 100 * sums[..., ROUGE] / sums[..., ONE],
            "chrf": chrf(sums),
            "exact": 100 * sums[..., EXACT] / sums[..., ONE],
            "length_ratio": _ratio(sums[..., HYPOTHESIS_WORDS], sums[..., REFERENCE_WORDS]),
        }


def bleu(sums: np.ndarray, order: int, convention: Convention) -> np.ndarray:
    """Sums (..., 31) -> (...) BLEU of the n-grams up to `order`, 0-100, as defined above."""
    matches, totals = sums[..., MATCHES][..., :order], sums[..., TOTALS][..., :order]
    exists = totals > 0
    is_missed = exists & (matches == 0)
    precision = _ratio(matches, totals)
    if convention.smooth_method == "exp":
        precision = np.where(is_missed, _ratio(0.5 ** np.cumsum(is_missed, axis=-1), totals), precision)
    elif convention.smooth_method == "floor":
        value = convention.smooth_value
        floor = BLEU.SMOOTH_DEFAULTS["floor"] if value is None else value
        precision = np.where(is_missed, _ratio(np.array(floor), totals), precision)
    orders = np.maximum(exists.sum(-1), 1) if convention.effective_order else order
    is_used = exists if convention.effective_order else np.ones_like(exists)
    with np.errstate(divide="ignore"):
        mean = np.exp(np.where(is_used, np.log(precision), 0.0).sum(-1) / orders)
    penalty = np.exp(np.minimum(0.0, 1 - _ratio(sums[..., REFERENCE_WORDS], sums[..., HYPOTHESIS_WORDS])))
    return np.where(matches.any(-1), 100 * penalty * mean, 0.0)


def chrf(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 31) -> (...) chrF2 by sacrebleu, 0-100."""
    counts = sums[..., CHARACTERS]
    scores = [CHRF()._compute_f_score(row) for row in counts.reshape(-1, counts.shape[-1]).tolist()]
    return np.array(scores).reshape(counts.shape[:-1])


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    result: np.ndarray = np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0)
    return result


def _signatures(convention: Convention) -> dict[str, str]:
    """{metric: its signature}; of sacrebleu's metrics, the library's own."""
    words = BLEU(
        tokenize=convention.tokenize,
        lowercase=convention.lowercase,
        smooth_method=convention.smooth_method,
        smooth_value=convention.smooth_value,
        effective_order=convention.effective_order,
    )
    characters = CHRF(lowercase=convention.lowercase)
    words.num_refs = characters.num_refs = 1  # the library sets it only when it scores
    unit = "|words:characters" if convention.spaces_characters else ""
    signature = f"{words.get_signature().format()}{unit}{convention.changed}{convention.averaged}"
    return {
        **{name: f"order:{order}|{signature}" for order, name in enumerate(BLEUS, start=1)},
        "chrf": f"{characters.get_signature().format()}{convention.changed}",
        "rouge_l": rouge_signature(convention),
    }
