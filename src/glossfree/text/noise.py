"""Masks spans of words in a sentence: the encoder's input of the text stage (mBART's denoising).

The lengths of spans are Poisson distributed; together they cover `mask_ratio` of all words. One `<mask>` replaces each
span, whatever its length; a span of length 0 inserts a `<mask>`. Sentences are not permuted: a clip has only one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glossfree.text.tokenizer import SentenceTokenizer


def mask_spans(words: Sequence[str], mask_ratio: float, mean_span: float, rng: np.random.Generator) -> list[str | None]:
    """Words -> words and None, each None a masked span.

    On average mask_ratio x words are masked. The number is rounded up or down at random, so that short sentences are
    masked as often as long ones. At least one of two or more words remains.
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


def noise_tokens(
    tokenizer: SentenceTokenizer, text: str, mask_ratio: float, mean_span: float, rng: np.random.Generator
) -> list[int]:
    """Sentence -> encoder ids: pieces and masks, `</s>`, language code. Raises ValueError for an empty sentence."""
    words = text.split()
    if not words:
        raise ValueError("a sentence without words cannot be masked")
    ids: list[int] = []
    run: list[str] = []  # words between two masks, encoded together as in the original sentence
    for word in [*mask_spans(words, mask_ratio, mean_span, rng), None]:
        if word is not None:
            run.append(word)
            continue
        if run:
            ids += tokenizer.piece_ids(" ".join(run))
            run = []
        ids.append(tokenizer.mask_id)
    return [*ids[:-1], tokenizer.eos_id, tokenizer.language_id]
