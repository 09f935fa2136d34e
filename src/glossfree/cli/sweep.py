"""`sweep`: recipes with several seeds, of a plan or at every point of a grid -> mean and deviation of each score.

A cell is one run, trained by `glossfree train` and scored by `glossfree evaluate`. Cells run one after another, a few
at a time, as SLURM jobs, or wherever the user runs the printed commands. Choose among points on dev; test is scored on
request, when all cells are trained.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import typer

from glossfree.cli.options import Corpus, Overrides, Track
from glossfree.console import Console, Result, text_table
from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import RecipeError, RunError, did_you_mean
from glossfree.files.disk import digest
from glossfree.pipeline.fitting import for_corpus
from glossfree.pipeline.start import MAY_CHANGE
from glossfree.pipeline.trained import recipe_of
from glossfree.pipeline.weights import with_language_model
from glossfree.recipe.files import load_recipe
from glossfree.recipe.values import differences, in_words
from glossfree.scoring.metrics import COLUMNS, Scores
from glossfree.sweeps.cells import DONE, WAITING, Cell, Row, parse_seeds, rows_of, value_text
from glossfree.sweeps.jobs import Slurm, job_states
from glossfree.sweeps.plan import Plan
from glossfree.sweeps.records import PLAN, Records
from glossfree.sweeps.running import train_waiting
from glossfree.sweeps.tasks import Cells, How
from glossfree.training.interrupt import stop_requests
from glossfree.training.run import FAILED, Run
from glossfree.training.trackers import check_trackers

SWEEP = "sweep.json"


@dataclass(frozen=True)
class Sweep(Result):
    """The settings of a sweep, and its cells: name, point, factor, seed, whether it counts, state, scores."""

    facts: dict[str, Any]
    cells: list[dict[str, Any]]

    @property
    def exit_code(self) -> int:
        """1 if a cell ended without scores."""
        return int(any(cell["state"] == FAILED for cell in self.cells))

    def points(self) -> Iterator[dict[str, Any]]:
        """Each row on each split: {"point", "learning_rate_factor", "split", "n", score: {"mean", "deviation"}}.

        Over the `n` seeds that are done, with the factor that was chosen (None: not yet): mean, and sample standard
        deviation (n - 1), null for fewer than two.
        """
        for point, group in groupby(self.cells, key=lambda cell: cell["point"]):
            chosen = [cell for cell in group if cell["is_chosen"]]
            factor = chosen[0]["learning_rate_factor"] if chosen else None
            for split in self.facts["splits"]:
                done = [cell["scores"][split] for cell in chosen if split in cell.get("scores", ())]
                row: dict[str, Any] = {"point": point, "learning_rate_factor": factor, "split": split, "n": len(done)}
                for key, _ in COLUMNS:
                    values = [float(scores[key]) for scores in done]
                    mean = fmean(values) if values else None
                    row[key] = {"mean": mean, "deviation": stdev(values) if len(values) > 1 else None}
                yield row

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.facts, "points": list(self.points()), "cells": self.cells}

    def to_text(self) -> str:
        """A table with a line for each row and split, then the cells without scores."""
        rows, has_factors = [], any(cell["learning_rate_factor"] != 1 for cell in self.cells)
        for row in self.points():
            point = ", ".join(f"{key}={value_text(value)}" for key, value in row["point"].items())
            point = row["point"].get("row", point or str(self.facts["recipe"]))
            values = ("-" if row[key]["mean"] is None else f"{row[key]['mean']:.2f}" for key, _ in COLUMNS)
            if row["n"] > 1:
                values = (f"{row[key]['mean']:.2f} ± {row[key]['deviation']:.2f}" for key, _ in COLUMNS)
            factor = "-" if row["learning_rate_factor"] is None else f"{row['learning_rate_factor']:g}"
            rows.append((point, row["split"], *[factor] * has_factors, str(row["n"]), *values))
        header = ("row" if "plan" in self.facts else "grid point", "split", *["rate x"] * has_factors, "n")
        notes = ["mean ± sample standard deviation over n seeds"]
        if has_factors:
            notes.append("rate x: factor of every learning rate of the recipe, chosen by BLEU-4 on dev")
        for cell in self.cells:
            if cell["state"] != DONE:
                job = f"job {cell['job']}" if "job" in cell else ""
                details = ", ".join(filter(None, (job, cell.get("problem"))))
                notes.append(f"{cell['state']}: {cell['name']}" + (f": {details}" if details else ""))
        notes += [f"{WAITING}: row {name}: no learning rate is chosen" for name in self.facts["rows_without_choice"]]
        scores = [Scores(**each) for cell in self.cells for each in cell.get("scores", {}).values()]
        appended = {str(each.convention.get("append", "")) for each in scores} - {""}
        notes += [f'"{text}" behind every hypothesis and reference' for text in sorted(appended)]
        notes += dict.fromkeys(note for each in scores for note in each.notes)
        return "\n".join([text_table((*header, *(title for _, title in COLUMNS)), rows, left=2), *notes])


@dataclass(frozen=True)
class Commands(Result):
    """A shell command line for each cell."""

    commands: list[str]

    def to_text(self) -> str:
        """The lines."""
        return "\n".join(self.commands)


def sweep(
    corpus: Corpus,
    runs: Annotated[Path, typer.Option(help="Folder of the sweep: a run for each cell.")],
    console: Console,
    recipe: Annotated[str | None, typer.Option(help="A TOML file, or the name of a shipped recipe.")] = None,
    seeds: Annotated[str | None, typer.Option(help="As in 0,42,100.")] = None,
    overrides: Overrides = None,
    grid: Annotated[list[str] | None, typer.Option(help="section.key=a,b,c; several make all combinations.")] = None,
    plan: Annotated[Path | None, typer.Option(help="A TOML file of recipes to compare, instead of --recipe.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A row or a group of the plan; may be given several times.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="Folder for a small JSON file of each cell; cells in it are not trained again.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Also score test, last of all. Choose settings on dev.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at the same time; several get one thread each.")] = 1,
    from_: Annotated[
        Path | None, typer.Option("--from", help="A run: every cell that has the stage --after takes its stages.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="With --from: the last stage that is taken.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes (GPUs) that train a run together.")] = 1,
    track: Track = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what was interrupted or has failed.")] = False,
    print_: Annotated[bool, typer.Option("--print", help="Only print the commands, one line for each run.")] = False,
    slurm: Annotated[bool, typer.Option("--slurm", help="Submit a job for each run, or collect its scores.")] = False,
    slurm_partition: Annotated[str, typer.Option(help="Partition of the jobs.")] = "",
    slurm_gpus: Annotated[int, typer.Option(min=0, help="GPUs of a job, one process each.")] = 1,
    slurm_hours: Annotated[float, typer.Option(min=0.1, help="Time limit of a job; another job continues it.")] = 24.0,
    slurm_option: Annotated[
        list[str] | None, typer.Option(help="key=value for sbatch, as account=NAME; may be given several times.")
    ] = None,
) -> Sweep | Commands:
    """Train and score every cell of a plan, or every seed at every point of a grid, each in its folder below `runs`.

    Skips cells with scores, resumes interrupted ones and retries failed ones. Before any cell starts, it raises
    RecipeError, CorpusError or RunError for unusable arguments; later only Interrupted, on a request to stop.
    """
    slurm_jobs = Slurm(slurm_partition, slurm_gpus, slurm_hours, tuple(slurm_option or ()))
    _check_slurm(slurm_jobs if slurm else None, has_options=slurm_jobs != Slurm())
    check_trackers(track or ())
    if (from_ is None) != (after is None):
        raise RunError("--from and --after only together", where="sweep", remedy="name a run and the stage to take")
    loaded = _loaded(plan, recipe, seeds, overrides or (), grid or (), only or ())
    _check_rows(loaded.rows, after)
    how = How(corpus, runs, max(processes, slurm_gpus if slurm else 1), tuple(track or ()), jobs, from_, after or "")
    cells = Cells(loaded, how, tuple(only or ()), test=test)
    if print_:
        commands = [[how.train(cell), *how.measures(cell, cells.splits(cell)).values()] for cell in cells.known()]
        return Commands([" && ".join(map(shlex.join, steps)) for steps in commands])
    splits = ("dev", "test") if test else ("dev",)
    _check_folders(loaded.rows, corpus, splits, runs, from_)
    cells.records = None if records is None else Records.open(records, corpus)
    facts = _facts(loaded, corpus, splits, plan, overrides, seeds, grid, only)
    facts |= {"from": str(from_.resolve()), "after": after} if from_ else {}
    cells.earlier = _earlier_cells(runs, facts, may_resume=resume or slurm)
    if cells.records is not None and plan:
        Run(cells.records.folder).write_json(PLAN, loaded.to_dict())
    return _train(cells, facts, console, jobs=slurm_jobs if slurm else None, test=test, again=resume)


def _facts(
    loaded: Plan,
    corpus: Path,
    splits: Sequence[str],
    plan: Path | None,
    overrides: Sequence[str] | None,
    seeds: str | None,
    grid: Sequence[str] | None,
    only: Sequence[str] | None,
) -> dict[str, Any]:
    """What SWEEP says of the sweep besides its cells."""
    grid_facts = {"recipe": loaded.name, "seeds": parse_seeds(seeds or "0"), "grid": list(grid or ())}
    return {
        **(grid_facts if plan is None else {"plan": loaded.name, "only": list(only or ())}),
        "overrides": list(overrides or ()),
        "corpus": str(corpus.resolve()),
        "manifest_sha256": digest(corpus / MANIFEST),
        "splits": list(splits),
    }


def _loaded(
    plan: Path | None,
    recipe: str | None,
    seeds: str | None,
    overrides: Sequence[str],
    grid: Sequence[str],
    only: Sequence[str],
) -> Plan:
    """The plan that a file or the options describe. Raises RecipeError, RunError."""
    if plan is not None:
        if recipe is not None or seeds is not None or grid:
            remedy = "leave out --recipe, --seeds and --grid: a plan names recipes and seeds"
            raise RunError("a plan and a grid at once", where="sweep", remedy=remedy)
        loaded = Plan.load(plan, overrides)
        loaded.check_selection(only)
        return loaded
    if recipe is None or seeds is None or only:
        remedy = "give --plan, or --recipe and --seeds without --only"
        raise RunError("no plan, and no recipe with seeds", where="sweep", remedy=remedy)
    rows = rows_of(recipe, overrides, parse_seeds(seeds), grid)
    return Plan(load_recipe(recipe, overrides).name, tuple(rows))


def _train(
    cells: Cells, facts: dict[str, Any], console: Console, *, jobs: Slurm | None, test: bool, again: bool
) -> Sweep:
    """Train and score what waits, here or by jobs of SLURM; test last of all, if cells that count choose anything."""
    save = partial(_saved, cells, facts)
    is_last = test and jobs is None and not cells.plan.chooses_apart
    with stop_requests() as request:
        for with_test in (False, True) if is_last else (test,):
            cells.begin(test=with_test)
            save()
            if jobs is None:
                train_waiting(cells, save, console, request)
            else:
                _submit(cells, jobs, save, again=again)
    return save()


def _submit(cells: Cells, jobs: Slurm, save: Callable[[], object], *, again: bool) -> None:
    """Submit a job for each cell that waits, or note its job's state. Raises RunError if SLURM refuses."""
    waiting = cells.waiting()
    states = job_states() if any("job" in cells.earlier.get(cell.name, {}) for cell in waiting) else {}
    for cell in waiting:
        commands, run = cells.commands(cell), cells.how.runs / cell.name
        now, earlier = cells.outcomes[cell.name], cells.earlier.get(cell.name, {})
        has_more = len(now.get("scores", ())) > len(earlier.get("scores", ()))  # its last job did what it was for
        cells.outcomes[cell.name] = {**now, **jobs.outcome(run, commands, earlier, states, again=again or has_more)}
        save()


def _saved(cells: Cells, facts: dict[str, Any]) -> Sweep:
    """The cells as the sweep reports them, row by row, also written into its folder."""
    known = sorted(cells.known(), key=lambda cell: cells.plan.rows.index(cell.row))
    rows = [
        {**cell.to_dict(), "is_chosen": cells.is_chosen(cell), **cells.outcomes.get(cell.name, {"state": WAITING})}
        for cell in known
    ]
    result = Sweep({**facts, "rows_without_choice": cells.rows_without_choice()}, rows)
    Run(cells.how.runs).write_json(SWEEP, result.to_dict())
    return result


def _check_slurm(jobs: Slurm | None, *, has_options: bool) -> None:
    """Raise RunError for options of jobs without --slurm, or if there is no sbatch."""
    if jobs is None and has_options:
        raise RunError("options of jobs without --slurm", where="sweep", remedy="add --slurm, or leave them out")
    if jobs and shutil.which("sbatch") is None:
        raise RunError("--slurm: there is no sbatch here", where="sweep", remedy="call it on a login node of SLURM")


def _check_rows(rows: Sequence[Row], after: str | None) -> None:
    """Raise RunError in one of several processes, RecipeError if there is nothing to score, or no stage `after`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        remedy = "call it without accelerate or torchrun, and with --processes"
        raise RunError("starts its processes itself", where="sweep", remedy=remedy)
    for cell in (Cell(row, seed) for row in rows for seed in row.seeds):
        if not any(map(cell.recipe.translates, cell.recipe.planned)):
            remedy = "give a stage with the objective translation its epochs"
            raise RecipeError("no stage learns to translate: nothing to score", where=cell.name, remedy=remedy)
    stages = {stage.name for row in rows for stage in Cell(row, row.seeds[0]).recipe.planned}
    if after is not None and after not in stages:
        problem = f"no recipe of the sweep has this stage{did_you_mean(after, stages)}"
        raise RecipeError(problem, where=f"--after {after}", remedy=f"one of {', '.join(sorted(stages))}")


def _check_folders(rows: Sequence[Row], corpus: Path, splits: Sequence[str], runs: Path, start: Path | None) -> None:
    """Raise CorpusError for a missing split, RunError for a run of another recipe, or none to take stages from."""
    if start is not None:
        recipe_of(Run(start))
    manifest = Manifest.load(corpus)
    for split in ("train", *splits):
        manifest.split(split)
    factors = {factor for row in rows for factor in row.factors}
    cells = (
        cell
        for row in rows
        for cell in row.cells(sorted({*row.seeds, *(first.seed for first in row.first())}), sorted(factors))
    )
    for cell in cells:
        run = Run(runs / cell.name)
        if run.recipe.is_file():
            recipes = load_recipe(run.recipe), with_language_model(cell.recipe)
            old, new = (for_corpus(each, manifest) for each in recipes)
            if changes := differences(old, new, apart_from=MAY_CHANGE):
                problem = f"was started with another recipe ({in_words(changes)})"
                raise RunError(problem, where=run.folder, remedy="resume with the same --set, or name another --runs")


def _earlier_cells(runs: Path, facts: dict[str, Any], *, may_resume: bool) -> dict[str, dict[str, Any]]:
    """The cells of an earlier sweep in this folder, by name. Raises RunError if its corpus was another."""
    if not (runs / SWEEP).is_file():
        return {}
    if not may_resume:
        raise RunError("already contains a sweep", where=runs, remedy="--resume it, or name another folder")
    earlier = Run(runs).read_json(SWEEP)
    if earlier.get("manifest_sha256") != facts["manifest_sha256"]:
        remedy = "resume with the unchanged corpus, or name another --runs"
        raise RunError(f"was started on another corpus, {earlier.get('corpus')}", where=runs, remedy=remedy)
    cells = earlier.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and "name" in cell for cell in cells):
        remedy = "remove it: cells with scores are not trained again"
        raise RunError("lists no cells", where=runs / SWEEP, remedy=remedy)
    return {cell["name"]: cell for cell in cells}
