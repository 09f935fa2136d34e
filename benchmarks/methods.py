"""What each method costs at full size: parameters, and seconds of a step beside HFA's.

The first stage of each recipe that sees video, with random weights and one fixed batch; its steps and those of HFA's
pre-training take turns, each in a process of its own. About 15 minutes on two cores; each row is also printed
when it is done.
`python -m benchmarks.methods --recipe NAME` is such a process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.full_size import RECIPE, fixed_batch, new_stage
from benchmarks.processes import Worker, in_turns, peak_gigabytes, serve
from benchmarks.step import Stepper
from benchmarks.timing import machine, table
from glossfree.pipeline.params import count_parameters
from glossfree.recipe.files import load_recipe, recipes_folder

LENGTHS = (8, 8)  # frames of the clips
ROUNDS = 2


def methods() -> list[Path]:
    """The recipes of the field's methods."""
    return sorted((recipes_folder() / "methods").glob("*-phoenix14t.toml"))


def first_stage(recipe: str) -> str:
    """The first planned stage that sees video."""
    return next(stage.name for stage in load_recipe(recipe).planned if stage.batches == "clips")


def compare(recipe: str, hfa: Worker, rounds: int) -> list[str]:
    """A recipe beside HFA -> its row of the table."""
    counts, stage = count_parameters(load_recipe(recipe)), first_stage(recipe)
    trained, total = counts.total(stage)
    with Worker("benchmarks.methods", "--recipe", recipe) as worker:
        answers = in_turns({"own": worker, "hfa": hfa}, rounds)
    seconds = {name: median(each["seconds"] for each in rows) for name, rows in answers.items()}
    peak = max(each["peak_gigabytes"] for each in answers["own"])
    return [
        recipe.removesuffix("-phoenix14t"),
        stage,
        f"{trained / 1e6:.1f} of {total / 1e6:.1f}",
        f"{seconds['own']:.2f}",
        f"{seconds['own'] / seconds['hfa']:.2f}",
        f"{peak:.1f}",
    ]


def run(names: Sequence[str] = (), rounds: int = ROUNDS) -> str:
    """All methods, or those named -> a table in Markdown."""
    with Worker("benchmarks.methods", "--recipe", RECIPE) as hfa:
        rows = []
        for name in names or [path.stem for path in methods()]:
            rows.append(compare(name, hfa, rounds))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["recipe", "stage", "parameters that train, M", "s a step", "times HFA's", "peak, GB"]
    note = (
        f"Full size, random weights, float32, {' + '.join(map(str, LENGTHS))} frames of 224 x 224; forward, backward, "
        f"clipping and optimiser; medians of {rounds} steps in turns with HFA's pre-training, after one that does not "
        f"count. {machine()}."
    )
    return f"{table(header, rows)}\n\n{note}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--recipe", default=RECIPE)
    recipe = load_recipe(parser.parse_args().recipe)
    batch = fixed_batch(recipe, LENGTHS)
    stepper = Stepper(new_stage(recipe, first_stage(recipe.name), batch), batch, recipe)

    def step() -> dict[str, Any]:
        return {**stepper.step(), "peak_gigabytes": peak_gigabytes()}

    serve(step)


if __name__ == "__main__":
    main()
