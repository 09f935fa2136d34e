"""`compare`: two systems on the same sentences -> whether B is better than A, how certainly, and on which sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.options import Language, References, Samples, Seed, Split
from glossfree.console import Result, text_table
from glossfree.errors import RunError
from glossfree.files.disk import write_atomic
from glossfree.report.page import render
from glossfree.report.systems import TITLES, Systems, load_systems
from glossfree.report.tables import comparison_table
from glossfree.scoring.sentences import Pairs
from glossfree.scoring.significance import SAMPLES, Change, Comparison, few_sentences
from glossfree.scoring.significance import compare as compare_statistics
from glossfree.scoring.statistics import Statistics

NUM_SHOWN = 5  # sentences in each direction in the terminal; the page shows all that `Comparison` keeps


@dataclass(frozen=True)
class ChangedSentence:
    """A sentence on which the systems differ much, and the score of each on it (0-100)."""

    id: str
    reference: str
    a: str
    b: str
    score_a: float
    score_b: float


@dataclass(frozen=True)
class Compared(Result):
    """Systems A and B, by name, on the same sentences; `better` and `worse` are those of `comparison`, with texts."""

    a: str
    b: str
    systems: Systems
    comparison: Comparison
    better: tuple[ChangedSentence, ...]
    worse: tuple[ChangedSentence, ...]
    signatures: dict[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; sentences with their texts instead of their indices."""
        return {
            "a": self.a,
            "b": self.b,
            **self.systems.to_dict(),
            "signatures": self.signatures,
            "notes": self.notes,
            **asdict(self.comparison),
            "better": [asdict(each) for each in self.better],
            "worse": [asdict(each) for each in self.worse],
        }

    def about(self) -> str:
        """How many sentences, how they were paired, and how they were sampled."""
        return f"{self.systems.describe()}; {self.comparison.samples:,} samples, seed {self.comparison.seed}"

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
    a: Annotated[Path, typer.Argument(help="Hypotheses: a file, or the folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Hypotheses of the second system, for the same clips.")],
    references: References = None,
    split: Split = "test",
    language: Language = None,
    samples: Samples = SAMPLES,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="HTML file with all of it.")] = None,
) -> Compared:
    """Compare two files or runs under the default convention of their language; with `out`, also write a page.

    Raises CorpusError, RunError: as `load_systems`, or a page that cannot be written.
    """
    systems = load_systems([a, b], references, split=split, language=language)
    pairs_a, pairs_b = systems.pairs
    of_a, of_b = (Statistics.of(each.hypotheses, each.references, systems.convention) for each in systems.pairs)
    comparison = compare_statistics(of_a, of_b, samples=samples, seed=seed)
    is_same = a.samefile(b) or (any(map(str.strip, pairs_a.hypotheses)) and pairs_a.hypotheses == pairs_b.hypotheses)
    warning = ("note: A and B are identical: was one file given as both?",) if is_same else ()
    ids = pairs_b.ids if systems.hypotheses[0].numbered else pairs_a.ids  # of the system that has ids
    compared = Compared(
        a=str(a) if a.name == b.name else a.name,
        b=str(b) if a.name == b.name else b.name,
        systems=systems,
        comparison=comparison,
        better=_changed(comparison.better, ids, pairs_a, pairs_b),
        worse=_changed(comparison.worse, ids, pairs_a, pairs_b),
        signatures=of_a.signatures,
        notes=(*warning, *few_sentences(comparison.num_sentences), *systems.notes),
    )
    if out is not None:
        write_atomic(out, compared.to_html(), RunError, parents=True)
    return compared


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
