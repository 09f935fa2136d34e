"""What the training engine itself costs: checkpoints at full size, the loop around a step, and a second process.

- Checkpoints of the paper's recipe with random weights, after one step of the optimiser on made-up gradients: their
  size does not depend on them. Each is written as training writes it (until the disk has it), and restored into the
  stage that it came from, out of the machine's page cache. For comparison, the weights that a finished stage leaves:
  the whole model, once a stage.
- The loop, at the demo's sizes, with the batch in memory: a bare step (forward, backward, clipping, optimiser) before
  each of the loop's, on a twin of the stage, so that a noisy minute disturbs both. The goal is at most 3 %.
- Two processes with one thread each against one with two threads and one with one, same clips a step, in turns.

About 3 minutes on two cores. `python -m benchmarks.engine --threads 1 --folder F` is a worker of the last part.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.full_size import RECIPE, FixedBatch, fixed_batch, new_stage, plan_of
from benchmarks.processes import Worker, in_turns, serve
from benchmarks.step import STAGES, Stepper
from benchmarks.timing import in_turns as timed_in_turns
from benchmarks.timing import machine, table
from glossfree.console import Silent
from glossfree.pipeline.assemble import load_model
from glossfree.pipeline.stages import TrainingStage
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.checkpoint import Progress, restore, save
from glossfree.training.loop import train
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.training.watch import Watch
from glossfree.video.batch import ClipBatch

SMALL = "demo"
LENGTHS = (29, 24, 33, 21, 26, 31, 19, 27)  # frames of the demo's eight clips a step: as in `wetter` at 8 frames/s
TIMES = 3  # that each file is written and read
LOOP_STEPS, LOOP_WARM_UP = 200, 10
ROUNDS, ROUND_STEPS, STEP_WARM_UP = 3, 20, 3
TEAMS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
GOAL = 3  # % that the loop may add
WAYS = ("write", "restore")
MEGA = 1e6


@dataclass(frozen=True)
class FileCost:
    """A file's MB, and median seconds to write it, and to restore a stage that is built from it."""

    megabytes: float
    seconds: Mapping[str, float]


def checkpoint_cost(stage: TrainingStage, folder: Path, times: int = TIMES) -> FileCost:
    """The last checkpoint of a stage whose optimiser has made a step."""
    run, weights = Run(folder), stage.trained().values()
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)

    def resume() -> None:
        restore(run, stage, optimizer)
        for state in optimizer.state.values():  # on a CPU these still lie in the file, until somebody looks
            for value in state.values():
                value.sum()

    ways = {"write": lambda: save(run, stage, optimizer, Progress(epoch=1, step=1)), "restore": resume}
    return _cost(run.checkpoint(stage.name, "last"), ways, times)


def weights_cost(stage: TrainingStage, folder: Path, times: int = TIMES) -> FileCost:
    """What a stage leaves: the parts of the model that it goes through, and its objectives."""
    path = Run(folder).weights(stage.name)
    ways = {
        "write": lambda: save_tensors(path, stage.result(), {"stage": stage.name}),
        "restore": lambda: load_model(stage.model, load_tensors(path)[0], where=str(path)),
    }
    return _cost(path, ways, times)


def _cost(path: Path, ways: Mapping[str, Callable[[], object]], times: int) -> FileCost:
    seconds = timed_in_turns(ways, times)
    return FileCost(path.stat().st_size / MEGA, seconds)


@dataclass(frozen=True)
class Alternating(FixedBatch):
    """A loader that lets a twin of the stage make a bare step before each batch, and times both sides."""

    bare: Callable[[], object] = lambda: None
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"bare": [], "loop": []})

    def steps(self) -> Iterator[list[ClipBatch]]:
        """One batch a step; all that the loop does until it asks for the next is the loop's."""
        for batch in self:
            start = time.perf_counter()
            self.bare()
            handed_over = time.perf_counter()
            yield [batch]
            self.seconds["bare"].append(handed_over - start)
            self.seconds["loop"].append(time.perf_counter() - handed_over)


def loop_cost(
    recipe: Recipe, batch: ClipBatch, steps: int, folder: Path, warm_up: int = LOOP_WARM_UP
) -> dict[str, float]:
    """Median seconds of a bare step and of the loop's, in pre-training: {"bare": ..., "loop": ..., "added": ...}.

    "added" is the median difference of a pair over the median bare step, in %.
    """
    twin = Stepper(new_stage(recipe, "pretrain", batch), batch, recipe)
    stage = new_stage(recipe, "pretrain", batch)
    loader, run = Alternating(batch, warm_up + steps, twin.step), Run(folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    with Watch(run, Silent()) as watch:
        train(stage, loader, None, plan_of(recipe, "pretrain"), run, Silent(), watch)
    bare, loop = (loader.seconds[name][warm_up:] for name in ("bare", "loop"))
    more = median(b - a for a, b in zip(bare, loop, strict=True))
    return {"bare": median(bare), "loop": median(loop), "added": 100 * more / median(bare)}


def small_batch(recipe: Recipe, lengths: Sequence[int] = LENGTHS) -> ClipBatch:
    """Random clips of the recipe's sizes, also where its frames are not made of whole blocks."""
    size = recipe.data.crop_size
    larger = recipe.model_copy(update={"data": recipe.data.model_copy(update={"crop_size": -(-size // 16) * 16})})
    batch = fixed_batch(larger, lengths)
    return replace(batch, frames=batch.frames[:, :, :size, :size].contiguous())


def share_of(batch: ClipBatch, rank: int, size: int) -> ClipBatch:
    """The clips rank, rank + size ... of a batch."""
    assert batch.labels is not None
    frames = torch.split(batch.frames, batch.lengths.tolist())
    return replace(
        batch,
        ids=batch.ids[rank::size],
        frames=torch.cat(frames[rank::size]),
        lengths=batch.lengths[rank::size],
        texts=batch.texts[rank::size],
        labels=batch.labels[rank::size],
        targets={name: rows[rank::size] for name, rows in batch.targets.items()},
    )


class Team:
    """Processes that train one stage together, asked and answering as one."""

    def __init__(self, size: int, threads: int, folder: Path, steps: int) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        given = ("--size", size, "--threads", threads, "--port", port, "--folder", folder, "--steps", steps)
        self.workers = [Worker("benchmarks.engine", "--rank", rank, *given) for rank in range(size)]

    def once(self) -> dict[str, Any]:
        """Some steps -> what the first process says of them."""
        for worker in self.workers:
            worker.ask()
        answers = [worker.answer() for worker in self.workers]
        return answers[0]

    def __enter__(self) -> Team:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for worker in self.workers:
            worker.__exit__(kind, error, trace)


def team_rates(rounds: int = ROUNDS, steps: int = ROUND_STEPS) -> dict[str, float]:
    """{name of TEAMS: steps per second}, the median of so many rounds of so many steps."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        teams: dict[str, Any] = {
            name: stack.enter_context(Team(size, threads, Path(folder) / str(number), steps))
            for number, (name, (size, threads)) in enumerate(TEAMS.items())
        }
        answers = in_turns(teams, rounds)
    return {name: median(answer["rate"] for answer in given) for name, given in answers.items()}


def main() -> None:
    """A worker: some steps of pre-training at the demo's sizes for each line, together with the others of its team."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=main.__doc__)
    for name, default in (("rank", 0), ("size", 1), ("threads", 1), ("port", 0), ("steps", ROUND_STEPS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.size > 1:
        numbers = {
            "RANK": options.rank,
            "LOCAL_RANK": options.rank,
            "WORLD_SIZE": options.size,
            "MASTER_PORT": options.port,
        }
        os.environ.update({name: str(number) for name, number in numbers.items()}, MASTER_ADDR="127.0.0.1")
    recipe = load_recipe(SMALL)
    whole = small_batch(recipe)
    stage, share = new_stage(recipe, "pretrain", whole), share_of(whole, options.rank, options.size)
    asked = iter(range(1000))

    def some_steps() -> dict[str, Any]:
        Processes.launched()  # not before both are there
        torch.set_num_threads(options.threads)  # accelerate has its own idea of it
        run = Run(options.folder / str(next(asked)))
        run.folder.mkdir(parents=True, exist_ok=True)
        train(stage, FixedBatch(share, STEP_WARM_UP + options.steps), None, plan_of(recipe, "pretrain"), run, Silent())
        seconds = [record["seconds"] for record in run.records() if record["kind"] == "step"][STEP_WARM_UP:]
        return {"rate": len(seconds) / sum(seconds)} if options.rank == 0 else {}

    serve(some_steps)


def run() -> str:
    """Measure everything -> three tables in Markdown."""
    return "\n\n".join([_checkpoints(load_recipe(RECIPE)), _loop(load_recipe(SMALL)), _teams(), f"{machine()}."])


def _checkpoints(recipe: Recipe) -> str:
    costs: dict[str, FileCost] = {}
    for name, label in STAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            batch = fixed_batch(recipe, [8, 8])
            stage = new_stage(recipe, name, batch)
            costs[f"checkpoint of {label}"] = checkpoint_cost(stage, Path(folder))
            if name == "finetune2":
                costs["weights that it leaves"] = weights_cost(stage, Path(folder))
        del stage
    rows = [
        [label, f"{cost.megabytes:,.0f}", *(f"{cost.seconds[way]:.2f}" for way in WAYS)]
        for label, cost in costs.items()
    ]
    return table(["full size", "MB", "write, s", "restore into a built stage, s"], rows)


def _loop(recipe: Recipe) -> str:
    with tempfile.TemporaryDirectory() as folder:
        found = loop_cost(recipe, small_batch(recipe), LOOP_STEPS, Path(folder))
    rows = [[f"{1000 * found['bare']:.1f}", f"{1000 * found['loop']:.1f}", f"{found['added']:.1f}"]]
    header = ["bare step, ms", "the loop's, ms", f"the loop adds, % (goal: {GOAL})"]
    note = f"{SMALL}'s sizes, pre-training, {len(LENGTHS)} clips, medians of {LOOP_STEPS} pairs of steps."
    return f"{table(header, rows)}\n\n{note}"


def _teams() -> str:
    rates = team_rates()
    alone = next(iter(rates.values()))
    rows = [[name, f"{rate:.2f}", f"{rate / alone:.2f}"] for name, rate in rates.items()]
    note = f"The same {len(LENGTHS)} clips a step, medians of {ROUNDS} rounds of {ROUND_STEPS} steps in turns."
    return f"{table([f'{SMALL}, pre-training', 'steps/s', 'times the first'], rows)}\n\n{note}"


if __name__ == "__main__":
    main()
