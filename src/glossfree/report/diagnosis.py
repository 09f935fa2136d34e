"""Hypotheses, references and training sentences -> an error analysis.

Scores by sentence length and signer; words by their frequency in training; copies of training sentences; repetition;
content words that are unsupported or omitted; numbers; names.

A sentence is only compared with its own reference, and "right" ignores the position in the sentence. Shares are 0-100,
None where the denominator is 0. Words are lower-case and without punctuation; in languages written without spaces,
each character is a word.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from glossfree.report.numbers import read_numbers
from glossfree.scoring.conventions import Convention, convention_for
from glossfree.scoring.statistics import Statistics
from glossfree.text.pseudo_glosses import KEPT
from glossfree.text.tagging import Token, tagger

WORD = re.compile(r"[^\W_]+(?:[-'’.,][^\W_]+)*")
CHARACTER = re.compile(r"[^\W_]")
QUANTILES = (0.25, 0.5, 0.75)  # of the references' lengths
REPEATED = 4  # words
FREQUENCIES = ((0, 0), (1, 2), (3, 10), (11, 100), (101, math.inf))  # counts in training, inclusive
NUM_LISTED = 8  # most common unsupported and omitted words
CONTENT_POS = KEPT - {"PRON"}  # pronouns are pseudo-glosses, but have no content to support
NAME_SHARE = 0.75  # of the tags of a word

Words = tuple[str, ...]
WordSet = set[str]
Tag = Callable[[str], list[Token]]


@dataclass(frozen=True)
class Group:
    """The scores of some of the sentences."""

    name: str
    num_sentences: int
    bleu4: float
    rouge_l: float
    chrf: float


@dataclass(frozen=True)
class Shares:
    """A share of the hypotheses, and of the references, which show what is natural for these sentences."""

    hypotheses: float | None
    references: float | None


@dataclass(frozen=True)
class FrequencyBin:
    """Words by their count in training. `recall`: share of the references' words that the hypotheses contain;
    `precision`: share of the hypotheses' words that the references contain. The last three fields count distinct words:
    in the references, in the hypotheses, and in hypotheses whose references contain them."""

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
    """Content words, each once per sentence. `unsupported`: share of the hypotheses' words that their references lack;
    `omitted`: share of the references' words that their hypotheses lack; with the most common words of both."""

    hypothesis_words: int
    reference_words: int
    unsupported: float | None
    omitted: float | None
    commonest_unsupported: tuple[tuple[str, int], ...]
    commonest_omitted: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Numbers:
    """The references' numbers are `right`, `wrong` (another number in the hypothesis) or `missed`; `invented` are
    further numbers in the hypotheses. `sentences`: references with a number; `sentences_right`: those without error."""

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


@dataclass(frozen=True)
class Diagnosis:
    """`names` is None without a tagger for names; `by_signer` is empty with fewer than two known signers;
    `most_frequent` is the most common hypothesis and its count."""

    num_sentences: int
    num_training: int
    by_length: tuple[Group, ...]
    by_signer: tuple[Group, ...]
    by_frequency: tuple[FrequencyBin, ...]
    copies: Shares
    distinct: Shares
    most_frequent: tuple[str, int] | None
    repeated_ngram: Shares
    repeated_word: Shares
    support: Support
    numbers: Numbers
    names: Names | None


def diagnose(
    hypotheses: Mapping[str, str],
    references: Mapping[str, str],
    *,
    training: Sequence[str],
    language: str,
    signers: Mapping[str, str] | None = None,
    convention: Convention | None = None,
    tag: Tag | None = None,
) -> Diagnosis:
    """{id: hypothesis} and {id: reference} -> Diagnosis. Without sentences, counts are 0 and shares None.

    `signers`: {id: signer}, if known. `convention` scores the groups (default: the language's).
    `tag`: sentence -> tokens, for content words and names (default: `text.tagging`). Raises ValueError where the
    ids differ.
    """
    if hypotheses.keys() != references.keys():
        raise ValueError(f"ids differ: {len(hypotheses.keys() ^ references.keys())} are in one side only")
    ids = list(references)
    convention = convention or convention_for(language)
    sides = [hypotheses[id] for id in ids], [references[id] for id in ids]
    words = tuple([split_words(text, convention.characters) for text in side] for side in (*sides, training))
    statistics = Statistics.of(*sides, convention) if ids else None
    copied = frozenset(words[2])
    if tag is None:
        has_words = any(words[1]) or any(words[2])
        tag = lru_cache(maxsize=None)(tagger(language, [*training, *sides[1]]).tag) if has_words else lambda text: []
    tokens = [[tag(text) for text in side] for side in sides]
    content = [[{token.lemma for token in each if token.pos in CONTENT_POS} for each in side] for side in tokens]
    lemmas = find_names([*training, *sides[0], *sides[1]], tag)
    names = [[{lemmas.get(token.word.lower(), "") for token in each} - {""} for each in side] for side in tokens]

    def shares(is_counted: Callable[[Words], bool]) -> Shares:
        return Shares(*(share(sum(map(is_counted, side)), len(ids)) for side in words[:2]))

    return Diagnosis(
        num_sentences=len(ids),
        num_training=len(training),
        by_length=_groups(statistics, lengths_in_quarters([len(sentence) for sentence in words[1]])),
        by_signer=_groups(statistics, _rows_by_signer([(signers or {}).get(id, "") for id in ids])),
        by_frequency=count_by_frequency(*words),
        copies=shares(lambda sentence: sentence in copied),
        distinct=Shares(*(share(len(set(side)), len(ids)) for side in words[:2])),
        most_frequent=next(iter(Counter(sides[0]).most_common(1)), None),
        repeated_ngram=shares(has_repeated_ngram),
        repeated_word=shares(lambda sentence: any(first == second for first, second in pairwise(sentence))),
        support=count_support(*content),
        numbers=count_numbers(*([read_numbers(text, language) for text in side] for side in sides)),
        names=count_names(*names) if lemmas else None,
    )


def find_names(sentences: Iterable[str], tag: Tag) -> dict[str, str]:
    """Sentences -> {word in lower case: its lemma as a name}, of the words that the tagger mostly tags as names.

    A single tag is unreliable in lower-case text: HanTa tags one "schauer" in five as a name. Of PHOENIX14T's training
    words, almost all that it tags as names in over three quarters of cases are names. A tagger without proper names
    (the frequency backend) gives {}.
    """
    counts: Counter[str] = Counter()
    lemmas: dict[str, Counter[str]] = {}
    for sentence, times in Counter(sentences).items():
        for token in tag(sentence):
            word = token.word.lower()
            counts[word] += times
            if token.pos == "PROPN":
                lemmas.setdefault(word, Counter())[token.lemma] += times
    mostly = {word: each for word, each in lemmas.items() if each.total() > NAME_SHARE * counts[word]}
    return {word: each.most_common(1)[0][0] for word, each in mostly.items()}


def split_words(text: str, characters: bool = False) -> Words:
    """Sentence -> its words in lower case without punctuation; or its characters."""
    return tuple((CHARACTER if characters else WORD).findall(text.lower()))


def share(part: float, total: int) -> float | None:
    """part / total on 0-100; None where the total is 0."""
    return 100.0 * part / total if total else None


def has_repeated_ngram(sentence: Words) -> bool:
    """Whether any REPEATED words in a row occur twice, possibly overlapping."""
    ngrams = [sentence[start : start + REPEATED] for start in range(len(sentence) - REPEATED + 1)]
    return len(set(ngrams)) < len(ngrams)


def lengths_in_quarters(lengths: Sequence[int]) -> dict[str, list[int]]:
    """Lengths -> {"3-6": rows}, quarters of the rows; fewer groups where many lengths are equal."""
    if not lengths:
        return {}
    quarters = np.quantile(lengths, QUANTILES, method="inverted_cdf")
    groups, low = {}, min(lengths)
    for high in sorted({*(int(length) for length in quarters), max(lengths)}):
        name = f"{low}-{high}" if low < high else str(high)
        groups[name] = [row for row, length in enumerate(lengths) if low <= length <= high]
        low = high + 1
    return groups


def _rows_by_signer(signers: Sequence[str]) -> dict[str, list[int]]:
    """Signers -> {signer: rows}, without unknown ones; {} if there are fewer than two."""
    names = sorted(set(signers) - {""})
    if len(names) < 2:
        return {}
    return {name: [row for row, signer in enumerate(signers) if signer == name] for name in names}


def _groups(statistics: Statistics | None, rows: Mapping[str, Sequence[int]]) -> tuple[Group, ...]:
    if statistics is None:
        return ()
    scores = {name: statistics.select(numbers).scores() for name, numbers in rows.items()}
    return tuple(Group(name, len(rows[name]), s["bleu4"], s["rouge_l"], s["chrf"]) for name, s in scores.items())


def count_by_frequency(
    hypotheses: Sequence[Words], references: Sequence[Words], training: Sequence[Words]
) -> tuple[FrequencyBin, ...]:
    """Words of hypotheses, references and training -> one FrequencyBin for each of FREQUENCIES."""
    times = Counter(word for sentence in training for word in sentence)
    produced, wanted, right = Counter[str](), Counter[str](), Counter[str]()
    for hypothesis, reference in zip(map(Counter, hypotheses), map(Counter, references), strict=True):
        produced += hypothesis
        wanted += reference
        right += hypothesis & reference
    bins = []
    for low, high in FREQUENCIES:
        inside = {word for word in wanted | produced if low <= times[word] <= high}
        num_wanted, num_produced, num_right = (sum(side[word] for word in inside) for side in (wanted, produced, right))
        distinct = (len(inside & side.keys()) for side in (wanted, produced, right))
        recall, precision = share(num_right, num_wanted), share(num_right, num_produced)
        bins.append(FrequencyBin(frequency_name(low, high), num_wanted, recall, num_produced, precision, *distinct))
    return tuple(bins)


def frequency_name(low: int, high: float) -> str:
    """A bin of counts -> "0", "1-2", "over 100"."""
    return f"over {low - 1}" if high == math.inf else f"{low}-{high}" if low < high else str(low)


def count_support(hypotheses: Sequence[WordSet], references: Sequence[WordSet]) -> Support:
    """Content words of hypotheses and references -> Support."""
    pairs = list(zip(hypotheses, references, strict=True))
    extra = Counter(word for hypothesis, reference in pairs for word in hypothesis - reference)
    lost = Counter(word for hypothesis, reference in pairs for word in reference - hypothesis)
    num_hypothesis, num_reference = sum(map(len, hypotheses)), sum(map(len, references))

    def commonest(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
        return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NUM_LISTED])

    unsupported, omitted = share(extra.total(), num_hypothesis), share(lost.total(), num_reference)
    return Support(num_hypothesis, num_reference, unsupported, omitted, commonest(extra), commonest(lost))


def count_numbers(hypotheses: Sequence[Sequence[float]], references: Sequence[Sequence[float]]) -> Numbers:
    """Numbers of each hypothesis and reference -> Numbers; in_references = right + wrong + missed."""
    right = wrong = missed = invented = sentences = sentences_right = 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        common = (Counter(hypothesis) & Counter(reference)).total()
        lost, extra = len(reference) - common, len(hypothesis) - common
        swapped = min(lost, extra)
        right, wrong = right + common, wrong + swapped
        missed, invented = missed + lost - swapped, invented + extra - swapped
        sentences += bool(reference)
        sentences_right += bool(reference) and not lost and not extra
    return Numbers(right + wrong + missed, right, wrong, missed, invented, sentences, sentences_right)


def count_names(hypotheses: Sequence[WordSet], references: Sequence[WordSet]) -> Names:
    """Names of each hypothesis and reference -> Names."""
    right = sum(len(ours & theirs) for ours, theirs in zip(hypotheses, references, strict=True))
    num_hypothesis, num_reference = sum(map(len, hypotheses)), sum(map(len, references))
    return Names(num_reference, num_hypothesis, right, share(right, num_hypothesis), share(right, num_reference))
