"""Verbs that build and train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Corpus, Json, Overrides, Recipe, Track, console, result, show_json
from glossfree.errors import RunError


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
        show_json(found.to_dict())
    else:
        result(found.to_text())
    if found.failed:
        raise typer.Exit(1)
