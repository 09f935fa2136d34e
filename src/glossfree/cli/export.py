"""`export`: a run -> one self-contained model folder that `translate` and `SignTranslator` load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.verb import Written
from glossfree.console import Console
from glossfree.export import export_model


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
    console: Console,
    onnx: Annotated[bool, typer.Option("--onnx", help="As graphs for a CPU, which need no torch.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights: a third of the size or less.")] = False,
) -> Written:
    """Write the model folder. Raises ModelError, RunError as `export_model`."""
    export_model(run, folder, console, onnx=onnx, int8=int8)
    return Written(folder)
