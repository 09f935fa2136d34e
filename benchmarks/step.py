"""A full-size step of training against its floor: what it cannot do without, at the rate of this machine's products.

Pre-training and stage 2 of fine-tuning, random weights, 2 clips of 58 frames. The floor is the operations that
`flops.py` counts from shapes over the rate of float32 matrix products, measured in the same process before, between and
after the steps, in the shape that dominates and as a large square, torch's own and oneDNN's; the best counts. A first
step warms up and is counted by torch, too; one more is left out. About 6 minutes on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from benchmarks.flops import GIGA, Flops, counted, pretraining_flops, translation_flops
from benchmarks.full_size import RECIPE, fixed_batch, new_stage, plan_of
from benchmarks.processes import Worker, peak_gigabytes, serve
from benchmarks.timing import machine, table, wall_seconds
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.packed import PackedLinear, can_pack
from glossfree.pipeline.stages import TrainingStage
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.device import best_device, frames_per_pass
from glossfree.video.batch import ClipBatch

LENGTHS = (58, 58)  # frames of the clips
STAGES = {"pretrain": "pre-training", "finetune2": "fine-tuning, stage 2"}
STEPS, WARM_UP = 5, 1
GOAL = 1.2  # times the floor
SQUARE = 2048
PROBE = 2e10  # operations of one measurement of the matrix rate: about 0.1 s
MOST_TIMES = 1000  # products of one measurement
PARTS = ("forward", "backward", "optimiser")


class Stepper:
    """A stage, a batch that stays the same, and the recipe's optimiser."""

    def __init__(self, stage: TrainingStage, batch: ClipBatch, recipe: Recipe) -> None:
        plan = plan_of(recipe, stage.name)
        self.stage, self.batch, self.max_grad_norm = stage, batch, plan.max_grad_norm
        self.is_in_bf16 = recipe.training.precision == "bf16"
        self.weights = list(stage.trained().values())
        self.optimizer = plan.optimizer_of(stage)
        stage.set_training()

    def step(self) -> dict[str, float]:
        """One step -> seconds of its parts, and its loss. The loop of training does these things and no others."""
        times = [time.perf_counter()]
        with torch.autocast(best_device().type, torch.bfloat16, enabled=self.is_in_bf16):
            loss = self.stage(self.batch)["loss"]
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        torch.nn.utils.clip_grad_norm_(self.weights, self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter())
        passed = {name: end - begin for name, begin, end in zip(PARTS, times, times[1:], strict=False)}
        return {**passed, "seconds": times[-1] - times[0], "loss": float(loss.detach())}

    def counted(self) -> Flops:
        """Forward and backward of one step, as torch counts them; the weights stay."""
        loss, forward = counted(lambda: self.stage(self.batch)["loss"])
        _, backward = counted(loss.backward)
        self.optimizer.zero_grad(set_to_none=True)
        return Flops(forward, backward)


def matrix_rates(shapes: Mapping[str, tuple[int, int, int]], repeats: int = 3) -> dict[str, float]:
    """{name: (n, i, o)} -> operations per second of (n, i) @ (i, o) in float32, the median of `repeats`.

    Torch's own product, and, where oneDNN is there, that with weights in its blocks, under the name and ", packed".
    """
    rates = {}
    for name, (rows, inputs, outputs) in shapes.items():
        left, right, result = torch.randn(rows, inputs), torch.randn(inputs, outputs), torch.empty(rows, outputs)
        ways: dict[str, Callable[[], object]] = {name: partial(torch.mm, left, right, out=result)}
        if can_pack():
            ways[f"{name}, packed"] = partial(PackedLinear(right.T.contiguous()), left)
        once = 2.0 * rows * inputs * outputs
        times = min(MOST_TIMES, max(1, round(PROBE / once)))
        for way, product in ways.items():
            seconds = (wall_seconds(partial(_repeat, product, times)) for _ in range(repeats))
            rates[way] = once * times / median(seconds)
    return rates


def _repeat(product: Callable[[], object], times: int) -> None:
    for _ in range(times):
        product()


def shapes_of(recipe: Recipe) -> dict[str, tuple[int, int, int]]:
    """The product that dominates a step (all tokens of one pass into the ViT's MLP), and a square one."""
    vision = recipe.vision
    assert isinstance(vision, Dinov2)
    tokens = (recipe.data.crop_size // vision.patch_size) ** 2 + 1
    rows, width = frames_per_pass(best_device()) * tokens, vision.hidden_size
    mlp = width * vision.mlp_ratio
    return {
        f"({rows:,} x {width:,}) @ ({width:,} x {mlp:,})": (rows, width, mlp),
        f"({SQUARE:,} x {SQUARE:,}) squared": (SQUARE, SQUARE, SQUARE),
    }


@dataclass(frozen=True)
class Measured:
    """A stage's steps, medians in seconds; operations by our count and by torch's; the rates of products by shape."""

    seconds: dict[str, float]
    parts: dict[str, Flops]
    torch_counts: Flops
    rates: dict[str, float]
    peak_gigabytes: float
    threads: int

    @property
    def flops(self) -> float:
        """Operations of a step."""
        return sum(part.total for part in self.parts.values())

    @property
    def floor(self) -> float:
        """Seconds that a step would take if it were matrix products alone."""
        return self.flops / max(self.rates.values())

    @property
    def ratio(self) -> float:
        """Times the floor."""
        return self.seconds["seconds"] / self.floor


def summary(answers: Sequence[Mapping[str, Any]], parts: dict[str, Flops]) -> Measured:
    """A worker's answers, one for each measured step -> Measured."""
    seconds = {name: median(answer[name] for answer in answers) for name in (*PARTS, "seconds")}
    rates = {name: median(rate for answer in answers for rate in answer["rates"][name]) for name in answers[0]["rates"]}
    last = answers[-1]
    return Measured(seconds, parts, Flops(*last["counted"]), rates, last["peak"], last["threads"])


def measure(name: str, lengths: Sequence[int] = LENGTHS, steps: int = STEPS) -> Measured:
    """So many steps of a stage in a process of its own."""
    with Worker("benchmarks.step", name, "--lengths", ",".join(map(str, lengths))) as worker:
        answers = [worker.once() for _ in range(WARM_UP + steps)][WARM_UP:]
    recipe, tokens = load_recipe(RECIPE), answers[0]["tokens"]
    pretraining = name == "pretrain"
    return summary(
        answers, pretraining_flops(recipe, lengths) if pretraining else translation_flops(recipe, lengths, tokens)
    )


def run(lengths: Sequence[int] = LENGTHS, steps: int = STEPS) -> str:
    """Both stages -> two tables in Markdown: seconds against the floor, and where the operations are."""
    stages = {label: measure(name, lengths, steps) for name, label in STAGES.items()}
    header = ["one step", "forward, s", "backward, s", "optimiser, s", "step, s", "GFLOP", "matrix rate, GFLOP/s"]
    rows = [
        [
            label,
            *(f"{stage.seconds[name]:.2f}" for name in (*PARTS, "seconds")),
            f"{stage.flops / GIGA:,.0f}",
            f"{max(stage.rates.values()) / GIGA:,.0f}",
            f"{stage.floor:.2f}",
            f"**{stage.ratio:.2f}**",
            f"{stage.peak_gigabytes:.1f}",
        ]
        for label, stage in stages.items()
    ]
    sections = [table([*header, "floor, s", "step / floor", "peak memory, GB"], rows), where(stages)]
    last = list(stages.values())[-1]
    rates = "; ".join(f"{name}: {rate / GIGA:,.0f}" for name, rate in last.rates.items())
    counts = "; ".join(
        f"{label} {stage.torch_counts.total / GIGA:,.0f} (ours {stage.flops / GIGA:,.0f})"
        for label, stage in stages.items()
    )
    text = (
        f"Batch {len(lengths)}, {' + '.join(map(str, lengths))} frames of 224 x 224, float32, {last.threads} threads, "
        f"medians of {steps} steps; the goal is {GOAL} times the floor. Matrix rates in GFLOP/s: {rates}; the floor "
        f"takes the best. GFLOP as torch counts them while a step runs: {counts}. {machine()}."
    )
    return "\n\n".join([*sections, text])


def where(stages: Mapping[str, Measured]) -> str:
    """The operations of each part of the model, forward and backward."""
    names = list(dict.fromkeys(part for stage in stages.values() for part in stage.parts))
    rows = []
    for part in names:
        flops = [stage.parts.get(part, Flops()) for stage in stages.values()]
        rows.append([part, *(f"{value / GIGA:,.1f}" for each in flops for value in (each.forward, each.backward))])
    return table(["GFLOP", *(f"{label}, {way}" for label in stages for way in ("forward", "backward"))], rows)


def main() -> None:
    """A worker: a step for each line, the matrix rates measured before it and after it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=main.__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="frames of each clip")
    options = parser.parse_args()
    recipe = load_recipe(RECIPE)
    batch = fixed_batch(recipe, [int(word) for word in options.lengths.split(",")])
    stepper = Stepper(new_stage(recipe, options.stage, batch), batch, recipe)
    by_torch, shapes = stepper.counted(), shapes_of(recipe)
    assert batch.labels is not None
    facts = {
        "counted": [by_torch.forward, by_torch.backward],
        "tokens": batch.labels.shape[1],
        "threads": torch.get_num_threads(),
    }

    def work() -> dict[str, Any]:
        before = matrix_rates(shapes)
        passed = stepper.step()
        after = matrix_rates(shapes)
        rates = {name: [before[name], after[name]] for name in before}
        return {**passed, **facts, "rates": rates, "peak": peak_gigabytes()}

    serve(work)


if __name__ == "__main__":
    main()
