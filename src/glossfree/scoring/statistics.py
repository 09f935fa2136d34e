"""What every score is a function of, one row of counts per sentence: sums of rows give the scores of any selection.

A corpus is counted once. Scores of subsets, of bootstrap draws and of two systems' sentences mixed are then sums over
rows, thousands of them in seconds. n-grams are cut and counted by sacrebleu; its arithmetic on the counts is repeated
here for many sums at once, and tests hold it equal to the library's.

BLEU-n, from counts summed over sentences: min(1, exp(1 - r / h)) times the geometric mean of the precisions of the
n-grams of the orders 1 to n, with h and r words of hypotheses and references. A precision of nothing found is smoothed:
"exp" gives the k-th such order 1 / (2^k total), "floor" gives value / total, "none" 0. With an effective order, orders
of which the hypotheses are too short to have any are left out; otherwise they make BLEU 0. Nothing found at all: 0.
chrF2: F, b = 2, of mean precision and mean recall of character n-grams, orders 1 to 6, as far as both have any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.helpers import extract_all_char_ngrams

from glossfree.scoring.conventions import Convention
from glossfree.scoring.rouge import rouge_of, rouge_signature

MAX_ORDER, CHAR_ORDER, CHRF_BETA = 4, 6, 2
FLOOR = 0.1  # sacrebleu's value of "floor" where none is set
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "exact", "length_ratio")
BLEUS = METRICS[:4]
# columns of the table: words of hypothesis and reference, n-grams found and there, ROUGE-L, equal, 1, characters
LENGTHS, FOUND, TOTAL, CHARS = slice(0, 2), slice(2, 6), slice(6, 10), slice(13, 13 + 3 * CHAR_ORDER)
ROUGE, EXACT, ONE, COLUMNS = 10, 11, 12, 13 + 3 * CHAR_ORDER
CHUNK = 64  # draws at a time: 64 x 20,000 weights take 10 MB

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
        prepared = [(convention.prepare(a), convention.prepare(b)) for a, b in zip(hypotheses, references, strict=True)]
        counter = BLEU(tokenize=convention.tokenize, effective_order=True)  # the order is for its own score alone
        table = np.zeros((len(prepared), COLUMNS))
        for row, (hypothesis, reference) in zip(table, prepared, strict=True):
            found = counter.sentence_score(convention.spaced(hypothesis), [convention.spaced(reference)])
            row[LENGTHS], row[FOUND], row[TOTAL] = (found.sys_len, found.ref_len), found.counts, found.totals
            row[CHARS] = list(_character_counts(hypothesis, reference))
        table[:, ROUGE] = rouge_of(prepared, convention)
        table[:, EXACT] = [a == b for a, b in prepared]
        table[:, ONE] = 1
        return cls(table, convention, _signatures(convention))

    @property
    def num_sentences(self) -> int:
        """N."""
        return len(self.table)

    def scores(self) -> dict[str, float]:
        """{metric: score of all sentences}: 0-100, except `length_ratio` (hypothesis words / reference words)."""
        return {name: float(value[0]) for name, value in self._each([self.table]).items()}

    def sentence_scores(self) -> Values:
        """{"bleu4", "rouge_l", "chrf"}: (N,), 0-100. BLEU of one sentence is smoothed "exp", of its effective order."""
        of_one = Convention("of one sentence", effective_order=True)
        bleu4 = bleu(self.table, MAX_ORDER, of_one)
        return {"bleu4": bleu4, "rouge_l": 100 * self.table[:, ROUGE], "chrf": chrf(self.table)}

    def select(self, indices: Sequence[int] | np.ndarray) -> Statistics:
        """Some of the sentences. Raises ValueError where there are none."""
        if not len(indices):
            raise ValueError("no sentence to score")
        return Statistics(self.table[np.asarray(indices)], self.convention, self.signatures)

    def resampled(self, draws: np.ndarray) -> Values:
        """draws (R, N') indices of sentences, with repeats -> {metric: (R,)}, the scores of each draw."""
        if self.convention.average != "corpus":
            return self._each(self.table[draw] for draw in draws)
        return self._of_weights(
            draws, lambda part: np.stack([np.bincount(draw, minlength=len(self.table)) for draw in part])
        )

    def swapped(self, other: Statistics, masks: np.ndarray) -> Values:
        """masks (R, N), True where the other system's sentence is taken -> {metric: (R,)}.

        `other`: the same sentences under the same convention. Raises ValueError where they cannot be.
        """
        if (other.num_sentences, other.convention) != (self.num_sentences, self.convention):
            raise ValueError("two systems are compared on the same sentences, under one convention")
        if self.convention.average != "corpus":
            return self._each(np.where(mask[:, None], other.table, self.table) for mask in masks)
        change, whole = other.table - self.table, self.table.sum(0)
        return self._of_weights(masks, np.asarray, change, whole)

    def _of_weights(
        self,
        rows: np.ndarray,
        weights: Callable[[np.ndarray], np.ndarray],
        table: np.ndarray | None = None,
        start: np.ndarray | float = 0.0,
    ) -> Values:
        """Corpus scores of start + weights(rows) @ table, some rows at a time."""
        table = self.table if table is None else table
        parts = [
            self._metrics(start + weights(rows[first : first + CHUNK]).astype(np.float64) @ table)
            for first in range(0, len(rows), CHUNK)
        ]
        return joined(parts)

    def _each(self, tables: Iterable[np.ndarray]) -> Values:
        """{metric: (R,)} of R tables of sentences in their order, averaged as the convention says."""
        found = []
        for table in tables:
            values = self._metrics(table.sum(0))
            if self.convention.average != "corpus":
                values |= self._of_groups(table)
            found.append(values)
        return {name: np.array([values[name] for values in found]) for name in METRICS}

    def _of_groups(self, table: np.ndarray) -> Values:
        """(N, 31) -> {BLEU-n: ()}, the mean over batches or shards."""
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
        values = {name: bleu(sums, order, self.convention) for order, name in enumerate(BLEUS, start=1)}
        values["rouge_l"] = 100 * sums[..., ROUGE] / sums[..., ONE]
        values["chrf"] = chrf(sums)
        values["exact"] = 100 * sums[..., EXACT] / sums[..., ONE]
        values["length_ratio"] = _ratio(sums[..., 0], sums[..., 1])
        return values


def joined(parts: Sequence[Values]) -> Values:
    """Some draws after others, {metric: (R,)} each -> {metric: (sum of R,)}."""
    return {name: np.concatenate([part[name] for part in parts]) for name in METRICS}


def bleu(sums: np.ndarray, order: int, how: Convention) -> np.ndarray:
    """Sums (..., 31) -> (...) BLEU of the n-grams up to `order`, 0-100; the formula stands above."""
    found, total = sums[..., FOUND][..., :order], sums[..., TOTAL][..., :order]
    there = total > 0
    missed = there & (found == 0)
    precision = _ratio(found, total)
    if how.smooth_method == "exp":
        precision = np.where(missed, _ratio(0.5 ** np.cumsum(missed, axis=-1), total), precision)
    elif how.smooth_method == "floor":
        floor = FLOOR if how.smooth_value is None else how.smooth_value
        precision = np.where(missed, _ratio(np.array(floor), total), precision)
    orders = np.maximum(there.sum(-1), 1) if how.effective_order else order
    used = there if how.effective_order else np.ones_like(there)
    with np.errstate(divide="ignore"):
        mean = np.exp(np.where(used, np.log(precision), 0.0).sum(-1) / orders)
    penalty = np.exp(np.minimum(0.0, 1 - _ratio(sums[..., 1], sums[..., 0])))  # nothing said finds nothing: 0 below
    return np.where(found.any(-1), 100 * penalty * mean, 0.0)


def chrf(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 31) -> (...) chrF2, 0-100; the formula stands above."""
    hypothesis, reference, common = (sums[..., CHARS][..., part::3] for part in range(3))
    both = (hypothesis > 0) & (reference > 0)
    orders = both.sum(-1)
    precision = _ratio(np.where(both, _ratio(common, hypothesis), 0.0).sum(-1), orders)
    recall = _ratio(np.where(both, _ratio(common, reference), 0.0).sum(-1), orders)
    weight = CHRF_BETA**2
    return 100 * _ratio((1 + weight) * precision * recall, weight * precision + recall)


def _times_drawn(draws: np.ndarray, num_sentences: int) -> np.ndarray:
    """draws (R, N') -> (R, N) how often each sentence was drawn."""
    return np.stack([np.bincount(draw, minlength=num_sentences) for draw in draws])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where there is no whole."""
    part, whole = np.broadcast_arrays(part, whole)
    result: np.ndarray = np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
    return result


def _character_counts(hypothesis: str, reference: str) -> Iterable[int]:
    """Of each order: character n-grams of the hypothesis, of the reference, of both.

    Where the reference is too short to have any, the hypothesis's do not count.
    """
    sides = (extract_all_char_ngrams(text, CHAR_ORDER) for text in (hypothesis, reference))
    for said, meant in zip(*sides, strict=True):
        yield said.total() if meant else 0
        yield meant.total()
        yield _overlap(said, meant)


def _overlap(said: Counter[str], meant: Counter[str]) -> int:
    return sum(min(count, meant[ngram]) for ngram, count in said.items() if ngram in meant)


def _signatures(convention: Convention) -> dict[str, str]:
    """{metric: what defines it, in one line}; of the library's metrics, its own signature."""
    library = BLEU(
        tokenize=convention.tokenize,
        lowercase=convention.lowercase,
        smooth_method=convention.smooth_method,
        smooth_value=convention.smooth_value,
        effective_order=True,
    )
    characters = CHRF(lowercase=convention.lowercase)
    for metric in (library, characters):
        metric.sentence_score("a", ["a"])  # the library signs only what it has seen
    signature = library.get_signature()
    signature.update("eff", "yes" if convention.effective_order else "no")
    cut = "|words:characters" if convention.characters and convention.tokenize not in ("zh", "char") else ""
    behind = f"{cut}{convention.appended}{convention.averaged}"
    written = {name: f"order:{order}|{signature.format()}{behind}" for order, name in enumerate(BLEUS, start=1)}
    written["chrf"] = f"{characters.get_signature().format()}{convention.appended}"
    return {**written, "rouge_l": rouge_signature(convention)}
