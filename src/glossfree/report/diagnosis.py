"""Hypotheses, references and training sentences -> what goes right and wrong, beyond one score for all of it.

Scores by sentence length and signer; words by how often training had them; copies of training sentences; repetition;
content words without support in the reference and the other way round; numbers; names.

Units: shares are 0-100, None where there is nothing to take a share of. Words are lower-case and without punctuation;
where a language is written without spaces, each character is one. What is counted word by word lies in
`faults`, the tables for people in `diagnosis_tables`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from glossfree.report.faults import (
    FrequencyBin,
    Names,
    Numbers,
    Support,
    Words,
    by_frequency,
    compared_names,
    compared_numbers,
    share,
    support,
)
from glossfree.report.number_words import numbers
from glossfree.scoring.conventions import Convention, convention_for
from glossfree.scoring.statistics import Statistics

WORD = re.compile(r"[^\W_]+(?:[-'’.,][^\W_]+)*")
CHARACTER = re.compile(r"[^\W_]")
QUANTILES = (0.25, 0.5, 0.75)  # of the references' lengths
REPEATED = 4  # words

Reader = Callable[[str], frozenset[str]]


@dataclass(frozen=True)
class Group:
    """The scores of some of the sentences."""

    name: str
    num_sentences: int
    bleu4: float
    rouge_l: float
    chrf: float


@dataclass(frozen=True)
class Habit:
    """A share of the hypotheses, and the same share of the references: what is natural for these sentences."""

    hypotheses: float | None
    references: float | None


@dataclass(frozen=True)
class Diagnosis:
    """All of it. `names` is None where nothing could tell names; `by_signer` is empty where fewer than two are known;
    `most_frequent` is the hypothesis said most often, with its count."""

    num_sentences: int
    num_training: int
    by_length: tuple[Group, ...]
    by_signer: tuple[Group, ...]
    by_frequency: tuple[FrequencyBin, ...]
    copies: Habit
    distinct: Habit
    most_frequent: tuple[str, int] | None
    repeated_ngram: Habit
    repeated_word: Habit
    support: Support
    numbers: Numbers
    names: Names | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def diagnose(
    hypotheses: Mapping[str, str],
    references: Mapping[str, str],
    *,
    training: Sequence[str],
    content: Reader,
    names: Reader | None = None,
    signers: Mapping[str, str] | None = None,
    language: str = "de",
    convention: Convention | None = None,
) -> Diagnosis:
    """{id: hypothesis} and {id: reference} -> Diagnosis. No sentence at all gives counts of 0 and shares of None.

    `content`: sentence -> lemmas of its content words; `names`: sentence -> its names. `signers`: {id: signer}, as far
    as known. `convention` is for the scores of groups (None: the language's own). Raises ValueError where ids differ.
    """
    if hypotheses.keys() != references.keys():
        raise ValueError(f"ids differ: {len(hypotheses.keys() ^ references.keys())} have only one side")
    ids = list(references)
    said, meant = [hypotheses[id] for id in ids], [references[id] for id in ids]
    convention = convention or convention_for(language)
    said_words, meant_words = ([words(text, convention.characters) for text in side] for side in (said, meant))
    training_words = [words(text, convention.characters) for text in training]
    statistics = Statistics.of(said, meant, convention) if ids else None
    kept = frozenset(training_words)
    most = Counter(said).most_common(1)
    return Diagnosis(
        num_sentences=len(ids),
        num_training=len(training),
        by_length=_by_length(statistics, [len(sentence) for sentence in meant_words]),
        by_signer=_by_signer(statistics, [(signers or {}).get(id, "") for id in ids]),
        by_frequency=by_frequency(said_words, meant_words, training_words),
        copies=_habit(said_words, meant_words, lambda sentence: sentence in kept),
        distinct=Habit(share(len(set(said_words)), len(ids)), share(len(set(meant_words)), len(ids))),
        most_frequent=most[0] if most else None,
        repeated_ngram=_habit(said_words, meant_words, has_repeated_ngram),
        repeated_word=_habit(said_words, meant_words, has_repeated_word),
        support=support([content(text) for text in said], [content(text) for text in meant]),
        numbers=compared_numbers(
            [numbers(text, language) for text in said], [numbers(text, language) for text in meant]
        ),
        names=None
        if names is None
        else compared_names([names(text) for text in said], [names(text) for text in meant]),
    )


def words(text: str, characters: bool = False) -> Words:
    """Sentence -> its words in lower case, punctuation dropped; or its characters."""
    return tuple((CHARACTER if characters else WORD).findall(text.lower()))


def _habit(said: Sequence[Words], meant: Sequence[Words], has_it: Callable[[Words], bool]) -> Habit:
    hypotheses, references = (share(sum(map(has_it, side)), len(side)) for side in (said, meant))
    return Habit(hypotheses, references)


def _by_length(statistics: Statistics | None, lengths: Sequence[int]) -> tuple[Group, ...]:
    """Quarters of the sentences by words of the reference; fewer groups where many are equally long."""
    if statistics is None:
        return ()
    quarters = np.quantile(lengths, QUANTILES, method="inverted_cdf")
    groups, low = [], min(lengths)
    for high in sorted({*(int(length) for length in quarters), max(lengths)}):
        rows = [row for row, length in enumerate(lengths) if low <= length <= high]
        groups.append(_group(statistics, f"{low}-{high}" if low < high else str(high), rows))
        low = high + 1
    return tuple(groups)


def _by_signer(statistics: Statistics | None, signers: Sequence[str]) -> tuple[Group, ...]:
    names = sorted({signer for signer in signers if signer})
    if statistics is None or len(names) < 2:
        return ()
    return tuple(
        _group(statistics, name, [row for row, signer in enumerate(signers) if signer == name]) for name in names
    )


def _group(statistics: Statistics, name: str, rows: Sequence[int]) -> Group:
    scores = statistics.select(rows).scores()
    return Group(name, len(rows), scores["bleu4"], scores["rouge_l"], scores["chrf"])


def has_repeated_ngram(sentence: Words, order: int = REPEATED) -> bool:
    """Whether any `order` words in a row come twice; the two may overlap."""
    ngrams = [sentence[start : start + order] for start in range(len(sentence) - order + 1)]
    return len(set(ngrams)) < len(ngrams)


def has_repeated_word(sentence: Words) -> bool:
    """Whether a word is followed by itself."""
    return any(first == second for first, second in pairwise(sentence))
