"""`glosses`: pseudo-glosses and their prototypes from the sentences of a corpus or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import PREPARED, Sentences
from glossfree.console import Console
from glossfree.text.corpus import GlossReport, write_pseudo_glosses


def glosses(
    console: Console,
    corpus: Annotated[Path | None, typer.Argument(help="A folder made by `glossfree prepare`.", **PREPARED)] = None,
    sentences: Sentences = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; the corpus folder if left out.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="fastText .bin or .vec; else trained here.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the sentences, as de; the corpus's if left out.")
    ] = None,
    splits: Annotated[
        str, typer.Option(help="Splits that make the inventory; hfa-phoenix14t-as-released needs train,dev,test.")
    ] = "train",
) -> GlossReport:
    """Write pseudo-glosses and prototypes; see `text.corpus.write_pseudo_glosses`."""
    return write_pseudo_glosses(
        corpus,
        console=console,
        sentences=sentences,
        out=out,
        vectors=vectors,
        language=language,
        splits=tuple(splits.split(",")),
    )
