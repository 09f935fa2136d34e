"""Verbs for the sentences of any system: scores under every convention, and two systems side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, console, result, show_json

References = Annotated[
    Path | None, typer.Option(help="A file, or a prepared corpus; of a run, its own corpus if left out.")
]
Split = Annotated[str, typer.Option(help="Of a run and of a corpus: train, dev or test.")]
Language = Annotated[
    str | None, typer.Option(help="Spoken language, as de, en or zh; the corpus's, or de, if left out.")
]
Samples = Annotated[int, typer.Option(min=1, help="Bootstrap samples.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the samples.")]


def score(
    hypotheses: Annotated[Path, typer.Option(help="Text, CSV, TSV, JSONL or JSON, or the folder of a run.")],
    references: References = None,
    split: Split = "test",
    language: Language = None,
    conventions: Annotated[bool, typer.Option("--conventions", help="Also score as each published code does.")] = False,
    bleurt: Annotated[Path | None, typer.Option(help="Folder with BLEURT as PyTorch.")] = None,
    diagnose: Annotated[bool, typer.Option("--diagnose", help="Also what is right and wrong, and where.")] = False,
    training: Annotated[
        Path | None, typer.Option(help="Sentences of training, for --diagnose; the corpus's if left out.")
    ] = None,
    samples: Samples = 1000,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Score any system's sentences: BLEU, ROUGE-L, chrF2, each with its signature and a 95 % interval."""
    from glossfree.cli.score import score as run

    scored = run(
        hypotheses,
        console=console(),
        references=references,
        split=split,
        language=language,
        conventions=conventions,
        bleurt=bleurt,
        diagnose=diagnose,
        training=training,
        samples=samples,
        seed=seed,
    )
    if json_:
        show_json(scored.to_dict())
    else:
        result(scored.to_text())


def compare(
    a: Annotated[Path, typer.Argument(help="Hypotheses: a file, or the folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Those of another system, of the same clips.")],
    references: References = None,
    split: Split = "test",
    language: Language = None,
    samples: Samples = 1000,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="HTML file with all of it.")] = None,
    json_: Json = False,
) -> None:
    """Is system B better than A, or is it chance? Paired tests, sentences won and lost."""
    from glossfree.report.comparison import compare as run

    compared = run(a, b, references=references, split=split, language=language, samples=samples, seed=seed, out=out)
    if json_:
        show_json(compared.to_dict())
    else:
        result(compared.to_text())
