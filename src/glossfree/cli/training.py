"""Verbs that build and train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Corpus, Json, Overrides, Recipe, Resume, RunFolder, Track, console, result, show_json


def params(
    recipe: Recipe,
    overrides: Overrides,
    corpus: Annotated[Path | None, typer.Option(help="Count with the sizes of this prepared corpus.")] = None,
    json_: Json = False,
) -> None:
    """Trainable and total parameters, per part and stage, without allocating them."""
    from glossfree.commands.params import params as count

    counts = count(recipe, overrides, corpus=corpus)
    if json_:
        show_json(counts.as_dict())
    else:
        result(counts.to_text())


def pretrain(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    track: Track,
    resume: Resume = False,
) -> None:
    """Hierarchical pre-training: pseudo-glosses and video-language alignment."""
    from glossfree.commands.train import pretrain as start

    told = console()
    done = start(recipe, corpus=corpus, run=run, overrides=overrides, resume=resume, track=track, console=told)
    result(str(done.folder))


def finetune(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    track: Track,
    from_: Annotated[Path | None, typer.Option("--from", help="Run whose pre-training to go on from.")] = None,
    resume: Resume = False,
) -> None:
    """Translation in two stages, with or without a pre-trained start."""
    from glossfree.commands.train import finetune as start

    told = console()
    done = start(
        recipe, corpus=corpus, run=run, start=from_, overrides=overrides, resume=resume, track=track, console=told
    )
    result(str(done.folder))


def train(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    track: Track,
    resume: Resume = False,
) -> None:
    """All stages of a recipe, one after another."""
    from glossfree.commands.train import train as start

    told = console()
    done = start(recipe, corpus=corpus, run=run, overrides=overrides, resume=resume, track=track, console=told)
    result(str(done.folder))


def status(run: Annotated[Path, typer.Argument(help="Folder of a run, live or not.")], json_: Json = False) -> None:
    """Where a run stands: stage, losses, speed, memory, time to go, and whether it still lives."""
    from glossfree.commands.status import status as look

    found = look(run)
    if json_:
        show_json(found.as_dict())
    else:
        result(found.to_text())
