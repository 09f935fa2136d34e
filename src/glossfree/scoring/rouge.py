"""The variants of ROUGE-L in published code: two sequences of words -> F in [0, 1].

With L the length of the longest common subsequence, P = L / words of the hypothesis, R = L / words of the reference,
F = (1 + b^2) P R / (R + b^2 P):

mscoco           b = 1.2 (a convention may set another), 0 where L is 0. An empty sentence counts as one empty word, as
                 in the captioning code where this field took the metric from.
seq2seq          b = P / (R + 1e-12), and 1e-12 is added to the denominator.
google           the package `rouge-score`: its own words (lower case, only a-z and 0-9), b = 1.
google-stemmed   the same with its English stemmer.
word-sets        the package `rouge`: L counts the distinct words of the longest common subsequences of all sentences,
                 which end at a full stop; P and R divide by the distinct words of each side; b = 1, and 1e-8 is added
                 to the denominator. 0 where a side has no words, for which the package raises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

from glossfree.scoring.conventions import ROUGE_BETA, Convention

TINY = 1e-12


def rouge_of(pairs: Iterable[tuple[str, str]], convention: Convention) -> list[float]:
    """Prepared (hypothesis, reference) -> F in [0, 1] of each, under a convention."""
    if convention.rouge in ("google", "google-stemmed"):
        return _google(pairs, stemmed=convention.rouge == "google-stemmed")
    if convention.rouge == "word-sets":
        return [rouge_l_of_sets(*map(convention.spaced, pair)) for pair in pairs]
    measure = rouge_l_seq2seq if convention.rouge == "seq2seq" else partial(rouge_l, beta=convention.rouge_beta)
    return [measure(convention.words(hypothesis), convention.words(reference)) for hypothesis, reference in pairs]


def rouge_signature(convention: Convention) -> str:
    """The signature of a convention's ROUGE-L, in sacrebleu's format."""
    case, changed = "lc" if convention.lowercase else "mixed", convention.changed
    if convention.rouge.startswith("google"):
        return f"nrefs:1|case:lc|tok:a-z0-9|variant:{convention.rouge}|average:sentences{changed}"
    spaces = "single-spaces" if convention.rouge == "mscoco" else "spaces"
    unit = "characters" if convention.characters else spaces
    beta = {"seq2seq": "P/R", "word-sets": "1.0"}.get(convention.rouge, str(convention.rouge_beta))
    return f"nrefs:1|case:{case}|tok:{unit}|variant:{convention.rouge}|beta:{beta}|average:sentences{changed}"


def rouge_l(hypothesis: Sequence[str], reference: Sequence[str], *, beta: float = ROUGE_BETA) -> float:
    """Two sequences of words -> F in [0, 1] as mscoco computes it."""
    common = longest_common_subsequence(hypothesis, reference)
    if common == 0:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def rouge_l_seq2seq(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Two sequences of words, neither empty -> F in [0, 1] with the weight that seq2seq code derives from P and R."""
    common = longest_common_subsequence(hypothesis, reference)
    precision, recall = common / len(hypothesis), common / len(reference)
    squared = (precision / (recall + TINY)) ** 2
    return (1 + squared) * precision * recall / (recall + squared * precision + TINY)


def rouge_l_of_sets(hypothesis: str, reference: str) -> float:
    """Two texts -> F in [0, 1] over the sets of their words, sentence by sentence."""
    # as in the package, a space after the last full stop is a sentence of one empty word
    hypotheses, references = (
        [" ".join(part.split()).split(" ") for part in text.split(".") if part] for text in (hypothesis, reference)
    )
    if not hypotheses or not references:
        return 0.0
    common = {word for a in references for b in hypotheses for word in _trace_common_subsequence(a, b)}
    precision = len(common) / len(set(chain.from_iterable(hypotheses)))
    recall = len(common) / len(set(chain.from_iterable(references)))
    return 2 * precision * recall / (precision + recall + 1e-8)


def _trace_common_subsequence(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """A longest common subsequence, traced from the end; of two equal ways, the one that drops a word of b."""
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, word in enumerate(a, start=1):
        for j, other in enumerate(b, start=1):
            lengths[i][j] = lengths[i - 1][j - 1] + 1 if word == other else max(lengths[i - 1][j], lengths[i][j - 1])
    words, i, j = [], len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            words.append(a[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words[::-1]


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    A row of the usual table is one integer: bit j is 0 where the length grows from b[:j] to b[:j+1]. One addition
    updates all bits, so that 20,000 sentences take about a second.
    """
    positions: dict[str, int] = defaultdict(int)
    for position, word in enumerate(b):
        positions[word] |= 1 << position
    all_of_b = (1 << len(b)) - 1
    row = all_of_b
    for word in a:
        matches = row & positions.get(word, 0)
        row = ((row + matches) | (row - matches)) & all_of_b
    return len(b) - row.bit_count()


def _google(pairs: Iterable[tuple[str, str]], *, stemmed: bool) -> list[float]:
    from rouge_score.rouge_scorer import RougeScorer  # imported here: it takes a second

    scorer = RougeScorer(["rougeL"], use_stemmer=stemmed)
    return [float(scorer.score(reference, hypothesis)["rougeL"].fmeasure) for hypothesis, reference in pairs]
