"""Verbs for a run that is trained, and for the model that comes out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, Overrides, Recipe, console, result, show_json


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    corpus: Annotated[Path | None, typer.Option(help="Another prepared corpus than the run's.")] = None,
    json_: Json = False,
) -> None:
    """Translate a split and score it."""
    from glossfree.commands.evaluate import evaluate as score
    from glossfree.evaluation.metrics import scores_table

    evaluation = score(run, split=split, corpus=corpus, console=console())
    if json_:
        show_json({"split": split, **evaluation.scores.to_dict()})
    else:
        result(scores_table({run.name: {split: evaluation.scores}}))


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
) -> None:
    """One self-contained folder that `translate` loads."""
    from glossfree.commands.export import export as write

    result(str(write(run, folder)))


def translate(
    model: Annotated[Path, typer.Argument(help="Folder made by `glossfree export`.")],
    clips: Annotated[list[Path], typer.Argument(help="Video files, or folders of frames.")],
    hypotheses: Annotated[int, typer.Option(min=1, help="Length of the n-best list (with --json).")] = 1,
    json_: Json = False,
) -> None:
    """Video of signing in, sentence out."""
    from glossfree.commands.translate import translate as run

    for translation in run(model, clips, num_hypotheses=hypotheses):
        result(json.dumps(translation.as_dict(), ensure_ascii=False) if json_ else translation.text)


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run, and runs to compare it with.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the first run if left out.")] = None,
    split: Annotated[str, typer.Option(help="Split whose clips are shown.")] = "test",
    clips: Annotated[int, typer.Option(min=0, help="Clips to show.")] = 24,
) -> None:
    """One HTML file: settings, scores, curves, clips with their pseudo-gloss timelines."""
    from glossfree.commands.report import report as write

    result(str(write(runs, out=out, split=split, num_clips=clips, console=console())))


def demo(
    overrides: Overrides,
    out: Annotated[Path, typer.Option(help="Folder for corpus, run, model and report.")] = Path("runs/demo"),
    compare: Annotated[bool, typer.Option("--compare", help="Also fine-tune without pre-training.")] = False,
    recipe: Recipe = "demo",
) -> None:
    """A corpus, all stages of training, scores on unseen sentences and a report, in minutes on a laptop."""
    from glossfree.commands.demo import demo as run

    result(run(out, recipe=recipe, overrides=overrides, compare=compare, console=console()).to_text())
