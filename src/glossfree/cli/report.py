"""`report`: a run, and runs to compare it with -> one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.verb import Written
from glossfree.console import Console
from glossfree.errors import RunError
from glossfree.files.disk import write_atomic
from glossfree.pipeline.trained import TrainedRun
from glossfree.report.build import build_report
from glossfree.report.page import render_report


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run, and runs to compare it with.")],
    console: Console,
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the first run if left out.")] = None,
    split: Annotated[str, typer.Option(help="Split whose clips are shown.")] = "test",
    clips: Annotated[int, typer.Option(min=0, help="Clips to show.")] = 24,
) -> Written:
    """Write the report of the first run, with the scores of the others beside its own.

    Raises RunError: a folder that is no run, a page that cannot be written, or as `build_report`; CorpusError.
    """
    first, *others = [TrainedRun(folder) for folder in runs]
    data = build_report(first, [other.run.folder for other in others], split, clips, console)
    path = out or first.run.folder / "report.html"
    write_atomic(path, render_report(data), RunError, parents=True)
    return Written(path)
