"""`compare`: two systems on the same sentences -> is B better than A, how sure is that, and on which sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import Language, References, Samples, Seed, Split
from glossfree.report import comparison
from glossfree.report.comparison import Compared
from glossfree.scoring.significance import SAMPLES


def compare(
    a: Annotated[Path, typer.Argument(help="Hypotheses: a file, or the folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Those of another system, of the same clips.")],
    references: References = None,
    split: Split = "test",
    language: Language = None,
    samples: Samples = SAMPLES,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="HTML file with all of it.")] = None,
) -> Compared:
    """Compare two files or runs; with `out`, also write a page. Raises CorpusError, RunError."""
    return comparison.compare(
        a, b, references=references, split=split, language=language, samples=samples, seed=seed, out=out
    )
