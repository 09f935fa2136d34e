"""Verbs for a run that is trained, and for the model that comes out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, console, result, show_json


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    corpus: Annotated[Path | None, typer.Option(help="Another prepared corpus than the run's.")] = None,
    json_: Json = False,
) -> None:
    """Translate a split and score it."""
    from glossfree.pipeline.decode import evaluate as score
    from glossfree.scoring.metrics import scores_table

    evaluation = score(run, split=split, corpus=corpus, console=console())
    if json_:
        show_json({"split": split, **evaluation.scores.to_dict()})
    else:
        result(scores_table({run.name: {split: evaluation.scores}}))
