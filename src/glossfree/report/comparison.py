"""Two systems on the same sentences -> is B better than A, how sure is that, and on which sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from glossfree.console import Result, text_table
from glossfree.errors import CorpusError
from glossfree.report.page import render, write_page
from glossfree.report.systems import (
    TITLES,
    describe_pairs,
    find_language,
    find_references,
    list_reading_notes,
    list_warnings,
    load_hypotheses,
)
from glossfree.report.tables import comparison_table
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.sentences import Pairs, Sentences, pair
from glossfree.scoring.significance import SAMPLES, Change, Comparison
from glossfree.scoring.significance import compare as compare_statistics
from glossfree.scoring.statistics import Statistics

NUM_SHOWN = 5  # sentences in each direction in the terminal; the page shows all that `Comparison` keeps


@dataclass(frozen=True)
class ChangedSentence:
    """One sentence on which the systems differ much, and what each of them scores on it (0-100)."""

    id: str
    reference: str
    a: str
    b: str
    score_a: float
    score_b: float


@dataclass(frozen=True)
class Compared(Result):
    """Systems A and B, by name, on the same sentences; `better` and `worse` as in `comparison`, with their texts."""

    a: str
    b: str
    references: str
    by_line: bool
    language: str
    language_from: str
    comparison: Comparison
    better: tuple[ChangedSentence, ...]
    worse: tuple[ChangedSentence, ...]
    signatures: dict[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; sentences with their texts in place of their numbers."""
        values = asdict(self)
        inner = {key: value for key, value in values.pop("comparison").items() if key not in ("better", "worse")}
        return {**values, **inner}

    def about(self) -> str:
        """How many sentences, how they were paired, and how they were drawn."""
        paired = describe_pairs(self.comparison.num_sentences, self.by_line, self.language, self.language_from)
        return f"{paired}; {self.comparison.samples:,} samples, seed {self.comparison.seed}"

    def to_text(self) -> str:
        """Both systems' scores, differences with interval and p; sentences won and lost; the largest changes."""
        comparison, table = self.comparison, comparison_table(self.comparison)
        counts = f"B is better on {comparison.wins:,}, worse on {comparison.losses:,}, as good on {comparison.ties:,}"
        return "\n".join(
            [
                *(f"A: {self.a}", f"B: {self.b}", ""),
                *(text_table(table.columns, table.rows), self.about(), *self.notes),
                *("", f"sentences, by {TITLES[comparison.sentence_metric]} of each: {counts}"),
                *_listed("B gains most", self.better[:NUM_SHOWN]),
                *_listed("B loses most", self.worse[:NUM_SHOWN]),
            ]
        )

    def to_html(self) -> str:
        """The page: sentences that B gains and loses first, then scores, then the rest."""
        return render("compare.html", data=self)


def _listed(title: str, sentences: Sequence[ChangedSentence]) -> Iterator[str]:
    for number, each in enumerate(sentences):
        yield from ("", title) if number == 0 else ("",)
        yield f"{each.id}: {each.score_a:.1f} -> {each.score_b:.1f}"
        yield from (f"  =  {each.reference}", f"  A  {each.a}", f"  B  {each.b}")


def compare(
    a: Path,
    b: Path,
    *,
    references: Path | None = None,
    split: str = "test",
    language: str | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    out: Path | None = None,
) -> Compared:
    """Compare two files or runs under the default convention of their language; with `out`, write the page there.

    Without `references`, they are those of the corpus of A's run, or of B's. Raises CorpusError, RunError: what
    cannot be read, ids that do not fit, a page that cannot be written.
    """
    sides = [load_hypotheses(path, split=split) for path in (a, b)]
    first = next((side for side in sides if side.source.is_dir()), sides[0])
    wanted = find_references(first, references, split=split)
    if wanted.numbered:
        _check_order(*sides)
    pairs = [pair(side, wanted) for side in sides]
    code, language_from = find_language(language, wanted)
    convention = convention_for(code)
    of_a, of_b = (Statistics.of(each.hypotheses, each.references, convention) for each in pairs)
    comparison = compare_statistics(of_a, of_b, samples=samples, seed=seed)
    notes = [
        *list_reading_notes([*sides, wanted]),
        *list_warnings([each.hypotheses for each in pairs], pairs[0], convention),
    ]
    if pairs[0].hypotheses == pairs[1].hypotheses:
        notes.insert(0, "note: A and B are identical: was one file given as both?")
    ids = next((each.ids for each, side in zip(pairs, sides, strict=True) if not side.numbered), pairs[0].ids)
    is_same_name = a.name == b.name
    compared = Compared(
        a=str(a) if is_same_name else a.name,
        b=str(b) if is_same_name else b.name,
        references=str(wanted.source),
        by_line=any(each.by_line for each in pairs),
        language=code,
        language_from=language_from,
        comparison=comparison,
        better=_changed(comparison.better, ids, *pairs),
        worse=_changed(comparison.worse, ids, *pairs),
        signatures=of_a.signatures,
        notes=tuple(notes),
    )
    if out is not None:
        write_page(out, compared.to_html())
    return compared


def _check_order(a: Sentences, b: Sentences) -> None:
    """References without ids belong to A by line and to B by line: then A and B must agree on the order."""
    if not a.numbered and not b.numbered and a.ids != b.ids:
        place = next(n for n, (x, y) in enumerate(zip_longest(a.ids, b.ids), start=1) if x != y)
        problem = f"its ids are not those of {a.source} in the same order (first at sentence {place:,})"
        remedy = "references without ids are paired by line: give references with ids"
        raise CorpusError(problem, where=b.source, remedy=remedy)


def _changed(changes: Sequence[Change], ids: Sequence[str], a: Pairs, b: Pairs) -> tuple[ChangedSentence, ...]:
    return tuple(
        ChangedSentence(
            ids[change.index],
            a.references[change.index],
            a.hypotheses[change.index],
            b.hypotheses[change.index],
            change.a,
            change.b,
        )
        for change in changes
    )
