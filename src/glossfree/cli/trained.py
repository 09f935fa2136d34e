"""Verbs for a run that is trained, and for the model that comes out of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, Overrides, Recipe, console, result, show_json


class Format(StrEnum):
    """How `translate` writes sentences."""

    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"
    eaf = "eaf"


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


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
) -> None:
    """One self-contained folder that `translate` loads."""
    from glossfree.cli.export import export as write

    result(str(write(run, folder)))


def translate(
    model: Annotated[Path, typer.Argument(help="Folder made by `glossfree export`.")],
    clips: Annotated[
        list[Path], typer.Argument(help="Video files, folders of videos, or folders of frames.", readable=False)
    ],
    hypotheses: Annotated[int, typer.Option(min=1, help="Length of the n-best list (with --json).")] = 1,
    start: Annotated[float | None, typer.Option(min=0, help="Seconds: only what comes after.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Seconds: only what comes before.")] = None,
    segments: Annotated[
        Path | None,
        typer.Option(help="Segments of one long video: .eaf, .vtt, .srt, .ass, or a table with start, end."),
    ] = None,
    tier: Annotated[str | None, typer.Option(help="Tier of the .eaf.")] = None,
    window: Annotated[
        float | None, typer.Option(min=0.5, help="Seconds: cut each video into pieces this long.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How sentences are written.")] = Format.text,
    out: Annotated[Path | None, typer.Option(help="File to write to; standard output if left out.")] = None,
    json_: Json = False,
) -> None:
    """Video of signing in, sentence out."""
    from glossfree.cli.translate import present
    from glossfree.cli.translate import translate as run

    results = run(
        model, clips, start=start, end=end, segments=segments, tier=tier, window=window, num_hypotheses=hypotheses
    )
    outcome = present(results, "json" if json_ else format_.value, console=console(), show=result, out=out)
    raise typer.Exit(outcome.exit_code)


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run, and runs to compare it with.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the first run if left out.")] = None,
    split: Annotated[str, typer.Option(help="Split whose clips are shown.")] = "test",
    clips: Annotated[int, typer.Option(min=0, help="Clips to show.")] = 24,
) -> None:
    """One HTML file: settings, scores, curves, clips with their pseudo-gloss timelines."""
    from glossfree.cli.report import report as write

    result(str(write(runs, out=out, split=split, num_clips=clips, console=console())))


def demo(
    overrides: Overrides,
    out: Annotated[Path, typer.Option(help="Folder for corpus, run, model and report.")] = Path("runs/demo"),
    compare: Annotated[bool, typer.Option("--compare", help="Also fine-tune without pre-training.")] = False,
    recipe: Recipe = "demo",
) -> None:
    """A corpus, all stages of training, scores on unseen sentences and a report, in minutes on a laptop."""
    from glossfree.cli.demo import demo as run

    result(run(out, recipe=recipe, overrides=overrides, compare=compare, console=console()).to_text())
