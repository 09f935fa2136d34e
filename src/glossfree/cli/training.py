"""Verbs that build and train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Corpus, Json, Overrides, Recipe, Resume, RunFolder, Track, console, result, show_json
from glossfree.errors import RecipeError, RunError


def params(
    recipe: Recipe,
    overrides: Overrides,
    corpus: Annotated[Path | None, typer.Option(help="Count with the sizes of this prepared corpus.")] = None,
    json_: Json = False,
) -> None:
    """Trainable and total parameters, per part and stage, without allocating them."""
    from glossfree.cli.params import params as count

    counts = count(recipe, overrides, corpus=corpus)
    if json_:
        show_json(counts.as_dict())
    else:
        result(counts.to_text())


def recipe(
    overrides: Overrides,
    name: Annotated[str | None, typer.Argument(help="A TOML file, or the name of a shipped recipe.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="All shipped recipes, a line each.")] = False,
    json_: Json = False,
) -> None:
    """A recipe with every value written out: how well each is known, and what differs from its base."""
    from glossfree.cli.recipe import describe, shipped

    if (name is None) != list_:
        raise RecipeError("a recipe or --list expected", where="glossfree recipe", remedy="glossfree recipe --list")
    described = shipped() if name is None else describe(name, overrides)
    if json_:
        show_json(described.as_dict())
    else:
        result(described.to_text())


def train(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    track: Track,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to train.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Take the stages that this run has finished.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="STAGE", help="With --from: take RUN's stages up to this one, as they are.")
    ] = None,
    resume: Resume = False,
) -> None:
    """The stages of a recipe, one after another."""
    from glossfree.cli.train import train as start

    if after is not None and from_ is None:
        raise RunError("without --from", where=f"--after {after}", remedy="name the run to go on from")
    trained = start(
        recipe,
        corpus=corpus,
        run=run,
        console=console(),
        overrides=overrides,
        until=until,
        start=from_,
        after=after,
        resume=resume,
        track=track,
    )
    result(str(trained.folder))


def sweep(
    recipe: Recipe,
    corpus: Corpus,
    runs: Annotated[Path, typer.Option(help="Folder of the sweep: a run for each seed at each point of the grid.")],
    seeds: Annotated[str, typer.Option(help="As in 0,42,100.")],
    overrides: Overrides,
    track: Track,
    grid: Annotated[
        list[str], typer.Option(default_factory=list, help="section.key=a,b,c; several make all combinations.")
    ],
    test: Annotated[bool, typer.Option("--test", help="Score test, too; dev is for choosing.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes (GPUs) that train a run together.")] = 1,
    slurm: Annotated[bool, typer.Option("--slurm", help="Submit a job for each run, or collect its scores.")] = False,
    slurm_partition: Annotated[str | None, typer.Option(help="Partition of the jobs.")] = None,
    slurm_gpus: Annotated[int, typer.Option(min=0, help="GPUs of a job, one process each.")] = 1,
    slurm_hours: Annotated[float, typer.Option(min=0.1, help="Time limit of a job; it goes on in another.")] = 24.0,
    slurm_option: Annotated[
        list[str] | None, typer.Option(help="key=value for submitit, as account=NAME; may be given several times.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted or has failed.")] = False,
    json_: Json = False,
) -> None:
    """All stages and the scores of a recipe with several seeds and settings: mean and deviation."""
    from glossfree.cli.cells import seeds_of
    from glossfree.cli.slurm import Slurm
    from glossfree.cli.sweep import sweep as start

    jobs = Slurm(slurm_partition, slurm_gpus, slurm_hours, tuple(slurm_option or ()))
    if not slurm and jobs != Slurm():
        raise RunError("options of jobs without --slurm", where="sweep", remedy="add --slurm, or leave them out")
    found = start(
        recipe,
        corpus=corpus,
        runs=runs,
        seeds=seeds_of(seeds),
        console=console(),
        overrides=overrides,
        grid=grid,
        test=test,
        processes=processes,
        track=track,
        resume=resume,
        slurm=jobs if slurm else None,
    )
    if json_:
        show_json(found.as_dict())
    else:
        result(found.to_text())
    if found.failed:
        raise typer.Exit(1)


def status(run: Annotated[Path, typer.Argument(help="Folder of a run, live or not.")], json_: Json = False) -> None:
    """Where a run stands: stage, losses, speed, memory, time to go, and whether it still lives."""
    from glossfree.cli.status import status as look

    found = look(run)
    if json_:
        show_json(found.as_dict())
    else:
        result(found.to_text())
