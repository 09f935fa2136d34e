"""`compare`: two systems on the same sentences -> is B better than A, how sure is that, and on which sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from glossfree.console import Result, text_table
from glossfree.errors import CorpusError
from glossfree.report.compare_page import (
    ChangedSentence,
    ComparisonData,
    probability,
    write_comparison,
)
from glossfree.report.systems import (
    TITLES,
    between,
    find_references,
    how_paired,
    how_read,
    language_of,
    load_hypotheses,
    warnings,
)
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.sentences import Pairs, Sentences, pair
from glossfree.scoring.significance import SAMPLES, Change, Comparison
from glossfree.scoring.significance import compare as compare_statistics
from glossfree.scoring.statistics import Statistics

SHOWN = 5  # sentences in each direction on the terminal; the page shows all that `Comparison` keeps


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
        """Plain values for JSON; sentences stand with their texts in place of their numbers."""
        values = asdict(self)
        inner = {key: value for key, value in values.pop("comparison").items() if key not in ("better", "worse")}
        return {**values, **inner}

    def about(self) -> str:
        """How many sentences, how they were paired, and how chance was measured."""
        found = self.comparison
        paired = how_paired(found.num_sentences, self.by_line, self.language, self.language_from)
        return f"{paired}; {found.samples:,} samples, seed {found.seed}"

    def to_text(self) -> str:
        """Both systems' scores, differences with interval and p; sentences won and lost; the largest changes."""
        found = self.comparison
        header = ("score", "A", "B", "B - A", "95 % interval", "p bootstrap", "p randomisation")
        lines = [
            (
                TITLES[name],
                f"{metric.a:.2f}",
                f"{metric.b:.2f}",
                f"{metric.difference:+.2f}",
                between(metric.interval),
                probability(metric.p_bootstrap, found.samples),
                probability(metric.p_randomisation, found.samples),
            )
            for name, metric in found.metrics.items()
        ]
        parts = [f"A: {self.a}", f"B: {self.b}", "", text_table(header, lines), self.about(), *self.notes]
        counted = f"B is better on {found.wins:,}, worse on {found.losses:,}, as good on {found.ties:,}"
        parts += ["", f"sentences, by {TITLES[found.sentence_metric]} of each: {counted}"]
        for title, sentences in (("B gains most", self.better), ("B loses most", self.worse)):
            for place, shown in enumerate(sentences[:SHOWN]):
                parts += ["", title] if place == 0 else []
                parts += [
                    f"{shown.id}: {shown.score_a:.1f} -> {shown.score_b:.1f}",
                    *(f"  {side}  {text}" for side, text in (("=", shown.reference), ("A", shown.a), ("B", shown.b))),
                ]
        return "\n".join(parts)


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

    References that are not named are those of the corpus of A's run, or of B's. Raises CorpusError, RunError: what
    cannot be read, ids that do not fit, a page that cannot be written.
    """
    sides = [load_hypotheses(path, split=split) for path in (a, b)]
    first = next((side for side in sides if side.source.is_dir()), sides[0])
    meant = find_references(first, references, split=split)
    if meant.numbered:
        _check_order(*sides)
    pairs = [pair(side, meant) for side in sides]
    spoken, found_in = language_of(language, meant)
    convention = convention_for(spoken)
    of_a, of_b = (Statistics.of(each.hypotheses, each.references, convention) for each in pairs)
    comparison = compare_statistics(of_a, of_b, samples=samples, seed=seed)
    notes = [*how_read([*sides, meant]), *warnings([each.hypotheses for each in pairs], pairs[0], convention)]
    if pairs[0].hypotheses == pairs[1].hypotheses:
        notes.insert(0, "note: A and B are identical: was one file given as both?")
    ids = next((each.ids for each, side in zip(pairs, sides, strict=True) if not side.numbered), pairs[0].ids)
    same = a.name == b.name
    compared = Compared(
        a=str(a) if same else a.name,
        b=str(b) if same else b.name,
        references=str(meant.source),
        by_line=any(each.by_line for each in pairs),
        language=spoken,
        language_from=found_in,
        comparison=comparison,
        better=_changed(comparison.better, ids, *pairs),
        worse=_changed(comparison.worse, ids, *pairs),
        signatures=of_a.signatures,
        notes=tuple(notes),
    )
    if out is not None:
        write_comparison(
            out,
            ComparisonData(
                a=compared.a,
                b=compared.b,
                subtitle=compared.about(),
                comparison=comparison,
                better=compared.better,
                worse=compared.worse,
                signatures={TITLES[name]: signature for name, signature in compared.signatures.items()},
                notes=notes,
            ),
        )
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
