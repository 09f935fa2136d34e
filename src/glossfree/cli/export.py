"""`export`: a run -> one self-contained model folder that `translate` and `SignTranslator` load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.verb import Written
from glossfree.console import Console
from glossfree.translator import export_model


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
    console: Console,
) -> Written:
    """Write the model folder. Raises ModelError, RunError; see `translator.export_model`."""
    export_model(run, folder, console)
    return Written(folder)
