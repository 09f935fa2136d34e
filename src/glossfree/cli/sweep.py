"""`sweep`: a recipe with several seeds, at every point of a grid -> mean and deviation of each score.

The cells are trained one after another, or as jobs of a cluster. Nothing is shared between them: each is what a single
`train` and `evaluate` of its recipe would give, to the last bit. Points are compared on dev; test is scored if asked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from glossfree.cli.cell_run import DONE, FAILED, WANTED, CellRun, Outcome
from glossfree.cli.cells import Cell, cells_of, shown
from glossfree.cli.slurm import Slurm, submit, the_submitit
from glossfree.console import Console, text_table
from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import RecipeError, RunError
from glossfree.pipeline.start import MAY_CHANGE
from glossfree.recipe.files import load_recipe
from glossfree.recipe.values import differences, in_words
from glossfree.scoring.metrics import COLUMNS
from glossfree.training.interrupt import stop_requests
from glossfree.training.run import Run
from glossfree.training.trackers import check_trackers

SWEEP = "sweep.json"
PLUS_MINUS = "±"


@dataclass(frozen=True)
class Sweep:
    """What a sweep was asked for (`facts`), and each cell with what has come of it so far."""

    facts: dict[str, Any]
    cells: tuple[tuple[Cell, Outcome], ...]

    @property
    def failed(self) -> list[str]:
        """Cells that ended without scores, each with its error."""
        return [f"{cell.name}: {outcome['problem']}" for cell, outcome in self.cells if outcome["state"] == FAILED]

    def points(self) -> Iterator[dict[str, Any]]:
        """Each point of the grid on each split: {"point", "split", "n", score: {"mean", "deviation"}}.

        Over the `n` seeds that are done: mean, and sample standard deviation (n - 1), null for fewer than two.
        """
        found: dict[str, tuple[Cell, list[Outcome]]] = {}
        for cell, outcome in self.cells:
            done = found.setdefault(repr(cell.point), (cell, []))[1]
            done += [outcome] if outcome["state"] == DONE else []
        for cell, done in found.values():
            for split in self.facts["splits"]:
                row: dict[str, Any] = {"point": cell.point, "split": split, "n": len(done)}
                for key, _ in COLUMNS:
                    values = [float(outcome["scores"][split][key]) for outcome in done]
                    mean = fmean(values) if values else None
                    row[key] = {"mean": mean, "deviation": stdev(values) if len(values) > 1 else None}
                yield row

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        cells = [{"name": c.name, "point": c.point, "seed": c.seed, **outcome} for c, outcome in self.cells]
        return {**self.facts, "points": list(self.points()), "cells": cells}

    def to_text(self) -> str:
        """A table with a line for each point and split; below it what is not in it, by name."""
        lines = []
        for row in self.points():
            point = ", ".join(f"{key}={shown(value)}" for key, value in row["point"].items())
            name = point or str(self.facts["recipe"])
            lines.append((name, row["split"], str(row["n"]), *(_with_deviation(row[key]) for key, _ in COLUMNS)))
        header = ("grid point", "split", "n", *(title for _, title in COLUMNS))
        notes = [f"mean {PLUS_MINUS} sample standard deviation over n seeds"]
        for cell, outcome in self.cells:
            if outcome["state"] != DONE:
                job, problem = outcome.get("job"), outcome.get("problem")
                said = [f"job {job}"] * (job is not None) + [str(problem)] * (problem is not None)
                notes.append(f"{outcome['state']}: {cell.name}" + (f": {', '.join(said)}" if said else ""))
        appended = {str(c.recipe.scores.append) for c, _ in self.cells} - {""}
        notes += [f'"{append}" behind every hypothesis and reference' for append in sorted(appended)]
        return "\n".join([text_table(header, lines, left=2), *notes])


def sweep(
    recipe: str | Path,
    *,
    corpus: Path,
    runs: Path,
    seeds: Sequence[int],
    console: Console,
    overrides: Sequence[str] = (),
    grid: Sequence[str] = (),
    test: bool = False,
    processes: int = 1,
    track: Sequence[str] = (),
    resume: bool = False,
    slurm: Slurm | None = None,
) -> Sweep:
    """Train and score every seed at every point of the grid, each in its folder below `runs`.

    What is done is left alone, what was interrupted goes on, what failed is tried again. `slurm`: submits jobs instead,
    or collects what became of those that were submitted. Raises, before anything is trained, what is wrong with any of
    the recipes, the corpus or the folder; Interrupted when asked to stop.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        remedy = "call it without accelerate or torchrun, and with --processes"
        raise RunError("starts its processes itself", where="sweep", remedy=remedy)
    check_trackers(track)
    if slurm is not None:
        the_submitit()
    cells = cells_of(recipe, overrides, seeds, grid)
    splits = ("dev", "test") if test else ("dev",)
    manifest = Manifest.load(corpus)
    for split in ("train", *splits):
        manifest.split(split)
    for cell in cells:
        if not any(stage.writes_sentences for stage in cell.recipe.planned):
            remedy = "give a stage with the objective translation its epochs"
            raise RecipeError("no stage learns to translate: nothing to score", where=cell.name, remedy=remedy)
    facts = {
        "recipe": cells[0].recipe.name,
        "corpus": str(corpus.resolve()),
        "manifest_sha256": hashlib.sha256((corpus / MANIFEST).read_bytes()).hexdigest(),
        "seeds": list(seeds),
        "overrides": list(overrides),
        "grid": list(grid),
        "splits": list(splits),
    }
    _must_go_on(runs, facts, may=resume or slurm is not None)
    work = [CellRun(runs / cell.name, corpus, splits, processes, track) for cell in cells]
    _write_down(cells, work)
    if slurm is None:
        return _one_after_another(runs, facts, cells, work, console)
    submitted = submit(work, slurm, runs, again=resume, console=console)
    return _kept(runs, Sweep(facts, tuple(zip(cells, submitted, strict=True))))


def _one_after_another(
    runs: Path, facts: dict[str, Any], cells: Sequence[Cell], work: Sequence[CellRun], console: Console
) -> Sweep:
    def kept() -> Sweep:
        return _kept(runs, Sweep(facts, tuple((c, run.outcome()) for c, run in zip(cells, work, strict=True))))

    kept()
    with console.progress("sweep", len(cells)) as advance, stop_requests() as request:
        for cell, run in zip(cells, work, strict=True):
            found = run(lambda: request.signal, lambda note: advance(0, note=note))
            advance(1)
            scores = [f"BLEU-4 {values['bleu4']:.2f} on {split}" for split, values in found.get("scores", {}).items()]
            console.say(f"{cell.name}: {', '.join(scores) or found['problem']}")
            kept()
    return kept()


def _must_go_on(runs: Path, facts: dict[str, Any], *, may: bool) -> None:
    """Raise RunError if there is a sweep that is not to be gone on with, or one of another corpus."""
    if not (runs / SWEEP).is_file():
        return
    if not may:
        raise RunError("holds a sweep already", where=runs, remedy="--resume it, or name another folder")
    before = Run(runs).read_json(SWEEP)
    if before.get("manifest_sha256") != facts["manifest_sha256"]:
        remedy = "resume with that corpus as it was, or name another --runs"
        raise RunError(f"was started on another corpus, {before.get('corpus')}", where=runs, remedy=remedy)


def _write_down(cells: Sequence[Cell], work: Sequence[CellRun]) -> None:
    """Put each cell's recipe into its folder. Raises RunError for one that another recipe was begun with; then nothing
    is written."""
    for cell, run in zip(cells, work, strict=True):
        path = run.folder / WANTED
        changed = differences(load_recipe(path), cell.recipe, apart_from=MAY_CHANGE) if path.is_file() else {}
        if changed:
            problem = f"was started with another recipe ({in_words(changed)})"
            raise RunError(problem, where=run.folder, remedy="resume with the same --set, or name another --runs")
    for cell, run in zip(cells, work, strict=True):
        if run.outcome()["state"] != DONE:
            run.prepare(cell.recipe)


def _kept(runs: Path, found: Sweep) -> Sweep:
    Run(runs).write_json(SWEEP, found.to_dict())
    return found


def _with_deviation(values: dict[str, float | None]) -> str:
    mean, deviation = values["mean"], values["deviation"]
    if mean is None:
        return "-"
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} {PLUS_MINUS} {deviation:.2f}"
