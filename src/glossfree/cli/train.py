"""`train`: the stages of a recipe on a prepared corpus, into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli import options
from glossfree.cli.options import Corpus, Overrides, RunFolder, Track
from glossfree.cli.verb import Written
from glossfree.console import Console
from glossfree.errors import RunError
from glossfree.pipeline.start import train_recipe
from glossfree.recipe.files import load_recipe


def train(
    recipe: options.Recipe,
    corpus: Corpus,
    run: RunFolder,
    console: Console,
    overrides: Overrides = None,
    track: Track = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to train.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Take the stages that this run has finished.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="STAGE", help="With --from: take RUN's stages up to this one, as they are.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
) -> Written:
    """The stages of a recipe, one after another."""
    if after is not None and from_ is None:
        raise RunError("without --from", where=f"--after {after}", remedy="name the run to go on from")
    trained = train_recipe(
        load_recipe(recipe, overrides or ()),
        corpus=corpus,
        run=run,
        console=console,
        until=until,
        start=from_,
        after=after,
        resume=resume,
        track=track or (),
    )
    return Written(trained.folder)
