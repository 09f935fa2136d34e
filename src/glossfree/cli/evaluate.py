"""`evaluate`: a run's model on one split -> predictions and scores, both kept in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.options import OtherCorpus
from glossfree.console import Console, Result
from glossfree.pipeline import evaluate as pipeline
from glossfree.report.systems import empty_notes
from glossfree.scoring.metrics import Scores, scores_table


@dataclass(frozen=True)
class Evaluated(Result):
    """The scores of a run on one split; `notes` warn of texts that make them misleading."""

    run: Path
    split: str
    scores: Scores
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The split and each score by name."""
        return {"split": self.split, **self.scores.to_dict(), "notes": self.notes}

    def to_text(self) -> str:
        """A table with one line, and the notes."""
        return "\n".join([scores_table({self.run.name: {self.split: self.scores}}), *self.notes])


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    console: Console,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    corpus: OtherCorpus = None,
    rerank: Annotated[
        float | None, typer.Option(min=0, help="Choose among the n best by score + RERANK * similarity to the video.")
    ] = None,
) -> Evaluated:
    """Translate every clip of a split and score it. Raises RunError: not a trained run; CorpusError."""
    evaluation = pipeline.evaluate(run, split=split, console=console, corpus=corpus, rerank=rerank)
    hypotheses = [prediction.text for prediction in evaluation.predictions.values()]
    return Evaluated(run, split, evaluation.scores, tuple(empty_notes("hypotheses", hypotheses)))
