"""What translations get right and wrong, word by word: frequent and rare words, content words, numbers, names.

A sentence is only ever compared with its own reference: "right" means said anywhere in the sentence, never that it
stands in the right place. Shares are 0-100, None where there is nothing to take a share of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FREQUENCIES = ((0, 0), (1, 2), (3, 10), (11, 100), (101, None))  # times in training, both ends included
NAMED_WORDS = 8  # so many of the commonest unsupported and omitted words are kept

Words = tuple[str, ...]


@dataclass(frozen=True)
class FrequencyBin:
    """Words that training has so many times.

    `recall`: share of the references' words that stand in their hypotheses too, `precision`: share of the hypotheses'
    words that stand in their references too; each word counts as often as both sides have it. `distinct_...`:
    different words in any reference, in any hypothesis (right or wrong), and in a hypothesis whose reference has it.
    """

    name: str
    reference_words: int
    recall: float | None
    hypothesis_words: int
    precision: float | None
    distinct_in_references: int
    distinct_produced: int
    distinct_right: int


@dataclass(frozen=True)
class Support:
    """Content words, each once per sentence: `unsupported`: share of the hypotheses' that their references lack;
    `omitted`: share of the references' that their hypotheses lack; and the commonest of either, with their counts."""

    hypothesis_words: int
    reference_words: int
    unsupported: float | None
    omitted: float | None
    commonest_unsupported: tuple[tuple[str, int], ...]
    commonest_omitted: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Numbers:
    """The references' numbers: `right` are said, `wrong` have another number in their place, `missed` have none.

    `invented`: numbers said beyond those. `sentences` have a number, in `sentences_right` all are right, none invented.
    """

    in_references: int
    right: int
    wrong: int
    missed: int
    invented: int
    sentences: int
    sentences_right: int


@dataclass(frozen=True)
class Names:
    """Proper names, each once per sentence. Precision = right / in hypotheses, recall = right / in references."""

    in_references: int
    in_hypotheses: int
    right: int
    precision: float | None
    recall: float | None


def share(part: float, whole: int) -> float | None:
    """part / whole on 0-100, None of nothing."""
    return 100.0 * part / whole if whole else None


def by_frequency(said: Sequence[Words], meant: Sequence[Words], training: Iterable[Words]) -> tuple[FrequencyBin, ...]:
    """Words of hypotheses, references and training -> one FrequencyBin for each of FREQUENCIES."""
    times = Counter(word for sentence in training for word in sentence)
    produced, wanted, right = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs in zip(said, meant, strict=True):
        ours_counted, theirs_counted = Counter(ours), Counter(theirs)
        produced += ours_counted
        wanted += theirs_counted
        right += ours_counted & theirs_counted
    bins = []
    for low, high in FREQUENCIES:
        inside = {word for word in wanted | produced if low <= times[word] and (high is None or times[word] <= high)}
        num_wanted, num_produced, num_right = (
            sum(counts[word] for word in inside) for counts in (wanted, produced, right)
        )
        bins.append(
            FrequencyBin(
                name=f"over {low - 1}" if high is None else f"{low}-{high}" if low < high else str(low),
                reference_words=num_wanted,
                recall=share(num_right, num_wanted),
                hypothesis_words=num_produced,
                precision=share(num_right, num_produced),
                distinct_in_references=len(inside & wanted.keys()),
                distinct_produced=len(inside & produced.keys()),
                distinct_right=len(inside & right.keys()),
            )
        )
    return tuple(bins)


def support(said: Sequence[frozenset[str]], meant: Sequence[frozenset[str]]) -> Support:
    """Content words of hypotheses and references -> Support."""
    pairs = list(zip(said, meant, strict=True))
    extra, lost = (Counter[str](), Counter[str]())
    for ours, theirs in pairs:
        extra.update(ours - theirs)
        lost.update(theirs - ours)
    num_said, num_meant = sum(map(len, said)), sum(map(len, meant))
    return Support(
        hypothesis_words=num_said,
        reference_words=num_meant,
        unsupported=share(extra.total(), num_said),
        omitted=share(lost.total(), num_meant),
        commonest_unsupported=_commonest(extra),
        commonest_omitted=_commonest(lost),
    )


def _commonest(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NAMED_WORDS])


def compared_numbers(said: Sequence[Sequence[float]], meant: Sequence[Sequence[float]]) -> Numbers:
    """Numbers of each hypothesis and reference -> Numbers; in_references = right + wrong + missed."""
    right = wrong = missed = invented = sentences = sentences_right = 0
    for ours, theirs in zip(said, meant, strict=True):
        common = (Counter(ours) & Counter(theirs)).total()
        lost, extra = len(theirs) - common, len(ours) - common
        swapped = min(lost, extra)
        right, wrong = right + common, wrong + swapped
        missed, invented = missed + lost - swapped, invented + extra - swapped
        sentences += bool(theirs)
        sentences_right += bool(theirs) and not lost and not extra
    total = right + wrong + missed
    return Numbers(total, right, wrong, missed, invented, sentences, sentences_right)


def compared_names(said: Sequence[frozenset[str]], meant: Sequence[frozenset[str]]) -> Names:
    """Names of each hypothesis and reference -> Names."""
    right = sum(len(ours & theirs) for ours, theirs in zip(said, meant, strict=True))
    num_said, num_meant = sum(map(len, said)), sum(map(len, meant))
    return Names(num_meant, num_said, right, share(right, num_said), share(right, num_meant))
