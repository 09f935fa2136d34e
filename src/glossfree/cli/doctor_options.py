"""The verb that answers "will this work?" before anything long begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, console, result, show_json


def doctor(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="A corpus's folder or table, or a model and clips; the installation if left out."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="folder, phoenix14t or phoenix14t-avatar; else known by its layout.")
    ] = None,
    json_: Json = False,
) -> None:
    """Will this work? Exit code 0: yes, 1: with something to know, 2: no."""
    from glossfree.cli.doctor import doctor as run

    diagnosis = run(paths or [], corpus=corpus, console=console())
    if json_:
        show_json(diagnosis.as_dict())
    else:
        result(diagnosis.to_text())
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)
