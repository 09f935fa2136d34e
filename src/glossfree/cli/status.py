"""`status`: where a run stands, read off its folder while it trains, or afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.training.progress import RunStatus, read_progress


def status(run: Annotated[Path, typer.Argument(help="Folder of a run, live or not.")]) -> RunStatus:
    """Where the run in a folder stands. Raises RunError for a folder without a run or without its status."""
    return read_progress(run)
