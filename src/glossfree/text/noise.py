"""Noise in sentences: what the language encoder reads in a text stage, in place of the sentence itself.

    spans  random spans of words are masked (mBART's denoising, Liu et al. 2020, section 2.2)
    tail   the last words are masked (GFSLT-VLP's second version, Zhou et al. 2023)
    words  pseudo-glosses stand for the sentence, some of them missing or wrong (CSGCR, VAP)

Sentences are not permuted: a clip has only one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from glossfree.text.tokenizer import SentenceTokenizer


def mask_spans(words: Sequence[str], mask_ratio: float, mean_span: float, rng: np.random.Generator) -> list[str | None]:
    """Words -> words and None, each None a masked span.

    The lengths of spans are Poisson distributed with mean `mean_span`. One None replaces each span, whatever its
    length; a span of length 0 inserts one. On average mask_ratio x words are masked. The number is rounded up or down
    at random, so that short sentences are masked as often as long ones. At least one of two or more words remains.
    """
    budget = min(int(mask_ratio * len(words) + rng.random()), max(len(words) - 1, 1), len(words))
    spans: list[int] = []
    remaining = budget
    while remaining and len(spans) < 2 * len(words):  # a tiny mean_span would insert masks forever
        span = min(int(rng.poisson(mean_span)), remaining)
        spans.append(span)
        remaining -= span
    kept = len(words) - budget + remaining
    places: dict[int, list[int]] = {}  # gap between kept words -> the spans in it
    gaps = rng.permutation(kept + 1)
    for number, span in enumerate(spans):
        places.setdefault(int(gaps[number % len(gaps)]), []).append(span)
    masked: list[str | None] = []
    position = 0
    for gap in range(kept + 1):
        for span in places.get(gap, ()):
            masked.append(None)
            position += span
        if gap < kept:
            masked.append(words[position])
            position += 1
    return masked


def mask_tail(words: Sequence[str], mask_ratio: float, rng: np.random.Generator) -> list[str | None]:
    """Words -> words and None: of n words the last ceil(n r) become None each, r drawn from [0, mask_ratio)."""
    masked = math.ceil(len(words) * rng.uniform(0, mask_ratio))
    return [*words[: len(words) - masked], *[None] * masked]


class NoisyWords:
    """Pseudo-glosses of a sentence -> as a head may have recognised them: some are missing, some are wrong.

    `counts`: occurrences of each pseudo-gloss in training; wrong ones are drawn in proportion to them, from those that
    the sentence does not have. Of n words, n x missing_rate are left out on average (but never all of them), and
    n x wrong_rate are added (Poisson distributed). A head with precision p and recall r has missing_rate = 1 - r and
    wrong_rate = r (1 / p - 1). `shuffled`: each word once, in random order; else as in the sentence, wrong ones at
    random places.
    """

    def __init__(self, counts: Mapping[str, int], missing_rate: float, wrong_rate: float, *, shuffled: bool) -> None:
        self.rows = {word: row for row, word in enumerate(counts)}
        self.names, self.counts = list(counts), np.array([*counts.values()], dtype=np.float64)
        self.missing_rate, self.wrong_rate, self.shuffled = missing_rate, wrong_rate, shuffled

    def __call__(self, words: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Words -> some of them and others. [] for no words."""
        own = [*dict.fromkeys(words)] if self.shuffled else [*words]
        if not own:
            return []
        is_kept = rng.random(len(own)) >= self.missing_rate
        is_kept[rng.integers(len(own))] |= not is_kept.any()
        recognised = [word for word, kept in zip(own, is_kept, strict=True) if kept]
        for word in self._wrong(own, rng):
            recognised.insert(int(rng.integers(len(recognised) + 1)), word)
        if self.shuffled:
            rng.shuffle(recognised)
        return recognised

    def _wrong(self, own: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Distinct words that are not among a sentence's own."""
        counts = self.counts.copy()
        counts[[self.rows[word] for word in own if word in self.rows]] = 0.0
        number = min(int(rng.poisson(self.wrong_rate * len(own))), int(np.count_nonzero(counts)))
        if not number:
            return []
        return [self.names[row] for row in rng.choice(len(counts), number, replace=False, p=counts / counts.sum())]


def encoder_ids(tokenizer: SentenceTokenizer, words: Sequence[str | None]) -> list[int]:
    """Words and None -> encoder ids: pieces and masks, `</s>`, language code."""
    ids: list[int] = []
    run: list[str] = []  # words between two masks, encoded together as in the original sentence
    for word in [*words, None]:
        if word is not None:
            run.append(word)
            continue
        if run:
            ids += tokenizer.piece_ids(" ".join(run))
            run = []
        ids.append(tokenizer.mask_id)
    return [*ids[:-1], tokenizer.eos_id, tokenizer.language_id]
