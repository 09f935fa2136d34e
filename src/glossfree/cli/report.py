"""`report`: a run, and runs to compare it with -> one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.verb import Written
from glossfree.console import Console
from glossfree.report.build import write_report


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run, and runs to compare it with.")],
    console: Console,
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the first run if left out.")] = None,
    split: Annotated[str, typer.Option(help="Split whose clips are shown.")] = "test",
    clips: Annotated[int, typer.Option(min=0, help="Clips to show.")] = 24,
) -> Written:
    """Write the report of the first run, with the scores of the others beside its own."""
    return Written(write_report(runs, out, split=split, num_clips=clips, console=console))
