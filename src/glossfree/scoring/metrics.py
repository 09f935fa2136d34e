"""Hypotheses and references -> scores: BLEU-1..4, chrF2, ROUGE-L, exact match, length ratio, under one convention.

All scores are 0-100, except the length ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from glossfree.console import text_table
from glossfree.scoring.conventions import Convention, convention_for
from glossfree.scoring.statistics import Statistics
from glossfree.scoring.word_errors import WordErrors


@dataclass(frozen=True)
class Scores:
    """The scores of one set of hypotheses: 0-100, except `length_ratio` (hypothesis words / reference words).

    `supervision`: that of the recipe whose model wrote the hypotheses; "" if it is not known. `rerank`: the weight with
    which similarity to the video chose among the n best. `recognition`: of glosses, if the model has a head for them
    and the clips are annotated: the values of `WordErrors`, and `num_beams`.
    """

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    chrf: float
    exact: float
    length_ratio: float
    num_sentences: int
    signatures: dict[str, str] = field(default_factory=dict)
    convention: dict[str, Any] = field(default_factory=dict)
    supervision: str = ""
    rerank: float = 0.0
    recognition: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, statistics: Statistics) -> Scores:
        """The scores of all sentences of the statistics."""
        values: dict[str, Any] = statistics.scores()
        return cls(
            **values,
            num_sentences=statistics.num_sentences,
            signatures=statistics.signatures,
            convention=asdict(statistics.convention),
        )

    @property
    def notes(self) -> list[str]:
        """How the hypotheses came about, where that makes scores incomparable with others."""
        notes = [f"each the best of an n-best list by score + {self.rerank:g} * similarity"] * bool(self.rerank)
        return notes + ['trained with annotated glosses (supervision = "glosses")'] * (self.supervision == "glosses")

    @property
    def gloss_line(self) -> str:
        """The gloss error rate with its parts; "" if no glosses were recognised."""
        if not self.recognition:
            return ""
        return WordErrors(**{each.name: self.recognition[each.name] for each in fields(WordErrors)}).to_text()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "",
    convention: Convention | None = None,
) -> Scores:
    """Hypotheses and their references, in the same order -> Scores under a convention, or the default of a language.

    BLEU-n is the corpus BLEU of n-grams up to n, each with its own signature. Raises ValueError when there is no
    sentence or the two lists differ in length, CorpusError for an unknown language or none.
    """
    convention = convention or convention_for(language)
    return Scores.of(Statistics.of(hypotheses, references, convention))


COLUMNS = (
    ("bleu1", "BLEU-1"),
    ("bleu2", "BLEU-2"),
    ("bleu3", "BLEU-3"),
    ("bleu4", "BLEU-4"),
    ("rouge_l", "ROUGE-L"),
    ("chrf", "chrF"),
)


def scores_table(rows: Mapping[str, Mapping[str, Scores]]) -> str:
    """{model: {split: Scores}} -> a plain-text table for the terminal, one line per model and split.

    Lines below it name what makes a model's scores incomparable with others: text that was appended to its sentences,
    re-ranking, supervision by glosses. Another has the gloss error rate, where glosses were recognised.
    """
    header = ("model", "split", *(title for _, title in COLUMNS), "sentences")
    lines = [
        (name, split, *(f"{getattr(scores, key):.2f}" for key, _ in COLUMNS), f"{scores.num_sentences:,}")
        for name, splits in rows.items()
        for split, scores in splits.items()
    ]
    notes = []
    for name, splits in rows.items():
        appended = {str(scores.convention.get("append", "")) for scores in splits.values()} - {""}
        notes += [f'{name}: "{append}" behind every hypothesis and reference' for append in sorted(appended)]
        notes += [f"{name}: {note}" for note in dict.fromkeys(note for each in splits.values() for note in each.notes)]
        notes += [f"{name}, {split}: {each.gloss_line}" for split, each in splits.items() if each.recognition]
    return "\n".join([text_table(header, lines, left=2), *notes])
