"""`score`: hypotheses and references -> scores with signatures and intervals, under each convention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glossfree.cli.options import Language, References, Samples, Seed, Split
from glossfree.console import Console, Result, aligned, text_table
from glossfree.corpora.manifest import Manifest
from glossfree.report.systems import TITLES, Systems, load_references, load_systems
from glossfree.scoring.conventions import Convention, published_for
from glossfree.scoring.predictions import read_scores, scores_path
from glossfree.scoring.sentences import Pairs
from glossfree.scoring.significance import LEVEL, SAMPLES, Interval, intervals
from glossfree.scoring.statistics import Statistics

if TYPE_CHECKING:
    from glossfree.models.bleurt import LearnedScore
    from glossfree.report.diagnosis import Diagnosis

MEANINGS = {  # for scores without a signature
    "exact": "percent of hypotheses that equal their reference, spaces included",
    "length_ratio": "words of hypotheses / words of references, tokenised as for BLEU",
}


@dataclass(frozen=True)
class Row:
    """The scores of all sentences under one convention: {metric: value}, and the same keys for the rest."""

    convention: Convention
    scores: dict[str, float]
    intervals: dict[str, Interval]
    signatures: dict[str, str]


@dataclass(frozen=True)
class Scored(Result):
    """The scores of one system. `rows`: the default convention of the language first, then the published ones."""

    hypotheses: str
    systems: Systems
    samples: int
    seed: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    learned: tuple[LearnedScore, ...] = ()  # if asked for
    diagnosis: Diagnosis | None = None  # if asked for

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the default's scores at the top, every convention in a list."""
        rows = [asdict(row) for row in self.rows]
        return {
            "hypotheses": self.hypotheses,
            **self.systems.to_dict(),
            "samples": self.samples,
            "seed": self.seed,
            "level": LEVEL,
            "notes": self.notes,
            "learned": [asdict(each) for each in self.learned],
            "diagnosis": self.diagnosis and asdict(self.diagnosis),
            **rows[0],
            "conventions": rows,
        }

    def to_text(self) -> str:
        """Scores with intervals, signatures, then the conventions side by side, each with its source."""
        default, *published = self.rows
        lines = [
            (TITLES[name], f"{value:.2f}", default.intervals[name].to_text()) for name, value in default.scores.items()
        ]
        about = (
            f"{self.systems.describe()}; convention {default.convention.name}; "
            f"intervals from {self.samples:,} bootstrap samples, seed {self.seed}"
        )
        signed = [(TITLES[name], default.signatures.get(name) or MEANINGS[name]) for name in default.scores]
        parts = [text_table(("score", "value", "95 % interval"), lines), about, *self.notes, "", *aligned(signed, 2)]
        for each in self.learned:
            parts.append(f"{each.name}  {'-' if each.value is None else f'{each.value:.2f}'}  {each.note}")
            parts += [f"  {each.signature}"] if each.signature else []
        if published:
            parts += ["", _side_by_side(self.rows), ""]
            for row in published:
                parts.append(f"{row.convention.name}: {row.convention.source}")
                parts += [f"  {TITLES[name]:<7}  {row.signatures[name]}" for name in ("bleu4", "rouge_l")]
        if self.diagnosis is not None:
            from glossfree.report.tables import diagnosis_text

            parts += ["", diagnosis_text(self.diagnosis)]
        return "\n".join(parts)


def score(
    hypotheses: Annotated[Path, typer.Option(help="Text, CSV, TSV, JSONL or JSON, or the folder of a run.")],
    console: Console,
    references: References = None,
    split: Split = "test",
    language: Language = None,
    conventions: Annotated[bool, typer.Option("--conventions", help="Also score as each published code does.")] = False,
    bleurt: Annotated[Path | None, typer.Option(help="Folder with BLEURT as PyTorch.")] = None,
    diagnose: Annotated[bool, typer.Option("--diagnose", help="Also print a diagnosis of the errors.")] = False,
    training: Annotated[
        Path | None, typer.Option(help="Sentences of training, for --diagnose; the corpus's if left out.")
    ] = None,
    samples: Samples = SAMPLES,
    seed: Seed = 0,
) -> Scored:
    """Score a file or a run against references or its corpus; with `conventions`, also under all published ones.

    `diagnose`: also analyse errors, with training sentences of a file, a prepared corpus or the run's corpus.

    Raises CorpusError, RunError: as `load_systems`.
    """
    systems = load_systems([hypotheses], references, split=split, language=language)
    (pairs,) = systems.pairs
    used = [systems.convention, *(published_for(systems.language) if conventions else ())]
    rows = []
    with console.progress("score", len(used)) as advance:
        for convention in used:
            statistics = Statistics.of(pairs.hypotheses, pairs.references, convention)
            bootstrap = intervals(statistics, samples=samples, seed=seed)
            rows.append(Row(convention, statistics.scores(), bootstrap, statistics.signatures))
            advance(1)
    return Scored(
        hypotheses=str(hypotheses),
        systems=systems,
        samples=samples,
        seed=seed,
        rows=tuple(rows),
        notes=(*_append_note(hypotheses, split), *systems.notes),
        learned=() if bleurt is None else (_bleurt(pairs, bleurt),),
        diagnosis=_diagnosis(systems, training, split) if diagnose or training else None,
    )


def _append_note(run: Path, split: str) -> Iterator[str]:
    """A note if `evaluate` scored this run with something appended to every sentence."""
    path = scores_path(run, split)
    if path.is_file() and (append := read_scores(path).convention.get("append")):
        yield f'note: the run itself was scored with "{append}" behind every sentence (scores.append), here it is not'


def _diagnosis(systems: Systems, training: Path | None, split: str) -> Diagnosis:
    """Diagnosis against the sentences of `training`, or else of the corpus that the references are from."""
    from glossfree.report.diagnosis import diagnose  # imported here: it loads a tagger

    (pairs,) = systems.pairs
    sides = [dict(zip(pairs.ids, texts, strict=True)) for texts in (pairs.hypotheses, pairs.references)]
    sentences: Sequence[str] = load_references(training, split="train").texts if training else ()
    signers = None
    if systems.references.source.is_dir():
        manifest = Manifest.load(systems.references.source)
        signers = {clip.id: clip.signer for clip in manifest.split(split)}
        sentences = sentences or [clip.text for clip in manifest.split("train")]
    return diagnose(*sides, training=sentences, language=systems.language, signers=signers)


def _bleurt(pairs: Pairs, folder: Path) -> LearnedScore:
    from glossfree.models.bleurt import score_bleurt  # imported here: torch is slow to load
    from glossfree.training.device import best_device

    return score_bleurt(pairs.hypotheses, pairs.references, folder, device=best_device())


def _side_by_side(rows: Sequence[Row]) -> str:
    shown = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l")
    header = ("convention", *(TITLES[name] for name in shown), "BLEU-4, 95 % interval")
    lines = [
        (row.convention.name, *(f"{row.scores[name]:.2f}" for name in shown), row.intervals["bleu4"].to_text())
        for row in rows
    ]
    return text_table(header, lines)
