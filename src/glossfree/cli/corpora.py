"""Verbs that make and look at what training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, console, result, show_json

INCOMPLETE = 1


def glosses(
    corpus: Annotated[Path | None, typer.Argument(help="A folder made by `glossfree prepare`.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="A file, one sentence a line, instead of a corpus.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; the corpus folder if left out.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="fastText .bin or .vec; else trained here.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the sentences, as de.")] = None,
    splits: Annotated[str, typer.Option(help="Splits that make the inventory; the paper: train,dev,test.")] = "train",
    json_: Json = False,
) -> None:
    """Extract pseudo-glosses and their prototypes from the sentences."""
    from glossfree.cli.glosses import glosses as run

    names = tuple(splits.split(","))
    report = run(
        corpus, sentences=sentences, out=out, vectors=vectors, language=language, splits=names, console=console()
    )
    if json_:
        show_json(report.to_dict())
    else:
        result(report.to_text())
