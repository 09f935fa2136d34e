"""`sweep`: a recipe with several seeds, at every point of a grid -> mean and deviation of each score.

A cell is one run, trained by `glossfree train` and scored by `glossfree evaluate`. Cells run one after another, as
SLURM jobs, or wherever the user runs the printed commands. Choose among points on dev; test is scored on request.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import typer

from glossfree.cli.cells import Cell, cells_of, parse_seeds, value_text
from glossfree.cli.jobs import Slurm
from glossfree.cli.options import Corpus, Overrides, Recipe, Track
from glossfree.console import Console, Result, text_table
from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import Interrupted, RecipeError, RunError
from glossfree.files.disk import digest
from glossfree.pipeline.material import with_rate
from glossfree.pipeline.start import MAY_CHANGE
from glossfree.recipe.files import load_recipe
from glossfree.recipe.values import differences, in_words
from glossfree.scoring.metrics import COLUMNS, Scores
from glossfree.scoring.predictions import read_scores, scores_path
from glossfree.training.interrupt import Request, stop_requests
from glossfree.training.run import FAILED, Run
from glossfree.training.status import check_not_training, read_status
from glossfree.training.trackers import check_trackers

SWEEP = "sweep.json"
DONE, WAITING = "done", "waiting"  # states of a cell, besides FAILED and UNDER_WAY
POLL = 0.5  # seconds between checks for a request to stop


@dataclass(frozen=True)
class Sweep(Result):
    """The settings of a sweep, and its cells: name, point, seed, state, and scores, job or problem."""

    facts: dict[str, Any]
    cells: list[dict[str, Any]]

    @property
    def exit_code(self) -> int:
        """1 if a cell ended without scores."""
        return int(any(cell["state"] == FAILED for cell in self.cells))

    def points(self) -> Iterator[dict[str, Any]]:
        """Each point of the grid on each split: {"point", "split", "n", score: {"mean", "deviation"}}.

        Over the `n` seeds that are done: mean, and sample standard deviation (n - 1), null for fewer than two.
        """
        for point, group in groupby(self.cells, key=lambda cell: cell["point"]):
            done = [cell["scores"] for cell in group if cell["state"] == DONE]
            for split in self.facts["splits"]:
                row: dict[str, Any] = {"point": point, "split": split, "n": len(done)}
                for key, _ in COLUMNS:
                    values = [float(scores[split][key]) for scores in done]
                    mean = fmean(values) if values else None
                    row[key] = {"mean": mean, "deviation": stdev(values) if len(values) > 1 else None}
                yield row

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.facts, "points": list(self.points()), "cells": self.cells}

    def to_text(self) -> str:
        """A table with a line for each point and split, then the cells without scores."""
        rows = []
        for row in self.points():
            point = ", ".join(f"{key}={value_text(value)}" for key, value in row["point"].items())
            values = ("-" if row[key]["mean"] is None else f"{row[key]['mean']:.2f}" for key, _ in COLUMNS)
            if row["n"] > 1:
                values = (f"{row[key]['mean']:.2f} ± {row[key]['deviation']:.2f}" for key, _ in COLUMNS)
            rows.append((point or str(self.facts["recipe"]), row["split"], str(row["n"]), *values))
        header = ("grid point", "split", "n", *(title for _, title in COLUMNS))
        notes = ["mean ± sample standard deviation over n seeds"]
        for cell in self.cells:
            if cell["state"] != DONE:
                job = f"job {cell['job']}" if "job" in cell else ""
                details = ", ".join(filter(None, (job, cell.get("problem"))))
                notes.append(f"{cell['state']}: {cell['name']}" + (f": {details}" if details else ""))
        scores = [Scores(**each) for cell in self.cells for each in cell.get("scores", {}).values()]
        appended = {str(each.convention.get("append", "")) for each in scores} - {""}
        notes += [f'"{text}" behind every hypothesis and reference' for text in sorted(appended)]
        notes += dict.fromkeys(note for each in scores for note in each.notes)
        return "\n".join([text_table(header, rows, left=2), *notes])


@dataclass(frozen=True)
class Commands(Result):
    """A shell command line for each cell."""

    commands: list[str]

    def to_text(self) -> str:
        """The lines."""
        return "\n".join(self.commands)


def sweep(
    recipe: Recipe,
    corpus: Corpus,
    runs: Annotated[Path, typer.Option(help="Folder of the sweep: a run for each seed at each point of the grid.")],
    seeds: Annotated[str, typer.Option(help="As in 0,42,100.")],
    console: Console,
    overrides: Overrides = None,
    grid: Annotated[list[str] | None, typer.Option(help="section.key=a,b,c; several make all combinations.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Also score test. Choose settings on dev.")] = False,
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
    """Train and score every seed at every point of the grid, each in its folder below `runs`.

    Skips cells with scores, resumes interrupted ones and retries failed ones. Before any cell starts, it raises
    RecipeError, CorpusError or RunError for unusable arguments; later only Interrupted, on a request to stop.
    """
    jobs = Slurm(slurm_partition, slurm_gpus, slurm_hours, tuple(slurm_option or ()))
    _check_slurm(jobs if slurm else None, has_options=jobs != Slurm())
    check_trackers(track or ())
    splits = ("dev", "test") if test else ("dev",)
    cells = cells_of(recipe, overrides or (), parse_seeds(seeds), grid or ())
    _check_cells(cells)
    processes = max(processes, slurm_gpus if slurm else 1)
    commands = [_commands(cell, recipe, corpus, runs, splits, processes, track or ()) for cell in cells]
    if print_:
        return Commands([" && ".join(map(shlex.join, steps)) for steps in commands])
    _check_corpus(cells, corpus, splits, runs)
    facts = {
        "recipe": cells[0].recipe.name,
        "corpus": str(corpus.resolve()),
        "manifest_sha256": digest(corpus / MANIFEST),
        "seeds": parse_seeds(seeds),
        "overrides": list(overrides or ()),
        "grid": list(grid or ()),
        "splits": list(splits),
    }
    earlier = _earlier_cells(runs, facts, may_resume=resume or slurm)
    result = Sweep(facts, [_row(cell, runs, splits, earlier) for cell in cells])
    Run(runs).write_json(SWEEP, result.to_dict())
    with stop_requests() as request:
        for number, (row, steps) in enumerate(zip(result.cells, commands, strict=True), start=1):
            name, run = row["name"], runs / row["name"]
            if row["state"] == WAITING and slurm:
                row |= jobs.outcome(run, steps, earlier.get(name, {}), again=resume)
            elif row["state"] == WAITING:
                console.say(f"{name} ({number} of {len(cells)})")
                run_result = _run(steps, run, request)
                row |= _outcome(run, splits) | run_result
            Run(runs).write_json(SWEEP, result.to_dict())
    return result


def _check_slurm(jobs: Slurm | None, *, has_options: bool) -> None:
    """Raise RunError for options of jobs without --slurm, or if there is no sbatch."""
    if jobs is None and has_options:
        raise RunError("options of jobs without --slurm", where="sweep", remedy="add --slurm, or leave them out")
    if jobs and shutil.which("sbatch") is None:
        raise RunError("--slurm: there is no sbatch here", where="sweep", remedy="call it on a login node of SLURM")


def _check_cells(cells: Sequence[Cell]) -> None:
    """Raise RunError in one of several processes, RecipeError if there is nothing to score."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        remedy = "call it without accelerate or torchrun, and with --processes"
        raise RunError("starts its processes itself", where="sweep", remedy=remedy)
    for cell in cells:
        if not any(map(cell.recipe.translates, cell.recipe.planned)):
            remedy = "give a stage with the objective translation its epochs"
            raise RecipeError("no stage learns to translate: nothing to score", where=cell.name, remedy=remedy)


def _check_corpus(cells: Sequence[Cell], corpus: Path, splits: Sequence[str], runs: Path) -> None:
    """Raise CorpusError for a missing split, RunError for a run of another recipe."""
    manifest = Manifest.load(corpus)
    for split in ("train", *splits):
        manifest.split(split)
    for cell in cells:
        run = Run(runs / cell.name)
        if run.recipe.is_file():
            old, new = (with_rate(each, manifest) for each in (load_recipe(run.recipe), cell.recipe))
            if changes := differences(old, new, apart_from=MAY_CHANGE):
                problem = f"was started with another recipe ({in_words(changes)})"
                raise RunError(problem, where=run.folder, remedy="resume with the same --set, or name another --runs")


def _commands(
    cell: Cell, recipe: str, corpus: Path, runs: Path, splits: Sequence[str], processes: int, track: Sequence[str]
) -> list[list[str]]:
    """The commands that train and score a cell, in order, run by this Python."""
    glossfree = [sys.executable, "-m", "glossfree"]
    if processes > 1:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        glossfree = [sys.executable, "-m", *launcher, "-m", "--", "glossfree"]
    sets = [word for change in cell.changes for word in ("--set", change)]
    tracks = [word for name in track for word in ("--track", name)]
    run, where = str(runs / cell.name), ["--corpus", str(corpus)]
    train = ["train", "--recipe", recipe, *where, "--run", run, "--resume", *sets, *tracks]
    evaluate = [["evaluate", run, "--split", split, *where] for split in splits]
    return [[*glossfree, *words] for words in (train, *evaluate)]


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
    return {cell["name"]: cell for cell in earlier["cells"]}


def _row(cell: Cell, runs: Path, splits: Sequence[str], earlier: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A cell as the sweep reports it, with the seconds that an earlier call needed for it."""
    row = {**cell.to_dict(), **_outcome(runs / cell.name, splits)}
    seconds = earlier.get(cell.name, {}).get("seconds")
    return {**row, "seconds": seconds} if row["state"] == DONE and seconds is not None else row


def _outcome(run: Path, splits: Sequence[str]) -> dict[str, Any]:
    """{"state": DONE, "scores": ...} of a cell with scores of all splits, else {"state": WAITING}."""
    paths = {split: scores_path(run, split) for split in splits}
    if not all(path.is_file() for path in paths.values()):
        return {"state": WAITING}
    return {"state": DONE, "scores": {split: read_scores(path).to_dict() for split, path in paths.items()}}


def _run(commands: Sequence[Sequence[str]], run: Path, request: Request) -> dict[str, Any]:
    """Run commands until one fails -> {"state": FAILED, "problem": ...} or {"seconds": ...}.

    Forwards a request to stop to the command, which saves; then raises Interrupted.
    """
    try:
        check_not_training(Run(run))
    except RunError as error:
        return {"state": FAILED, "problem": error.problem}
    start = time.time()
    for words in commands:
        begin, is_forwarded = time.time(), False
        # standard output is for the result of the sweep alone
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2)
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
            if request.signal and not is_forwarded:
                process.send_signal(request.signal)
                is_forwarded = True
        if request.signal:
            stopped = Interrupted("sweep stopped", where=run, remedy="the same command with --resume goes on")
            stopped.signal = request.signal
            raise stopped
        if code := process.returncode:
            verb = "train" if "train" in words else "evaluate"
            problem = f"exit code {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"
            with suppress(RunError):  # a failed training records the reason
                status = read_status(Run(run))
                if status.state == FAILED and status.problem and status.written >= begin:
                    problem = status.problem
            return {"state": FAILED, "problem": f"{verb}: {problem}"}
    return {"seconds": round(time.time() - start, 1)}
