"""The one loop: every stage is trained here, step by step, resumable after each epoch."""

from __future__ import annotations

import json
import math
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from glossfree.errors import RunError
from glossfree.progress import Console
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.training.schedule import one_cycle
from glossfree.training.stage import Loader, Stage, frames_in
from glossfree.training.step import backward, losses_of


@dataclass(frozen=True)
class Plan:
    """How a stage is optimised; a StageConfig without what is not the loop's business."""

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup: float
    max_grad_norm: float
    seed: int
    keep: str = "best"  # or "last": which epoch's weights the stage leaves behind


@dataclass
class Progress:
    """Where a stage stands; lies in its checkpoint."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0


def train(
    stage: Stage, train_loader: Loader, dev_loader: Loader | None, plan: Plan, run: Run, console: Console
) -> Progress:
    """Train a stage for `plan.epochs` epochs and leave its chosen weights in the stage itself.

    Goes on after the last finished epoch if `run` holds one: randomness is drawn from (seed, stage, epoch), so the
    weights are those of the uninterrupted run. Raises RunError on a loss that is not finite, naming the clips.
    """
    accelerator = Accelerator(mixed_precision="bf16" if _native_bfloat16() else "no")
    trained = stage.trained()
    optimizer = torch.optim.AdamW(trained.values(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    progress = _restore(stage, optimizer, trained, run)
    run.forget(stage.name, progress.epoch)
    steps = train_loader.num_steps(plan.epochs)
    with console.progress(stage.name, steps) as advance:
        advance(progress.step)
        for epoch in range(progress.epoch, plan.epochs):
            start = time.perf_counter()
            torch.manual_seed(zlib.crc32(f"{plan.seed}/{stage.name}/{epoch}".encode()))
            train_loader.set_epoch(epoch)
            stage.set_training()
            means = _Means()
            for batches in train_loader.steps():
                lr = one_cycle(progress.step, steps, plan.learning_rate, plan.warmup)
                losses = _step(accelerator, stage, batches, optimizer, trained, plan, lr) if batches else {}
                _check(losses, batches, stage.name)
                means.add(losses, sum(map(len, batches)))
                progress.step += 1
                record = {"kind": "step", "stage": stage.name, "epoch": epoch, "step": progress.step, "lr": lr}
                run.log({**record, "frames": sum(map(frames_in, batches)), **losses})
                advance(1, note=f"epoch {epoch + 1}/{plan.epochs}  loss {losses.get('loss', math.nan):.3f}")
            dev = evaluate(stage, dev_loader, accelerator) if dev_loader is not None else {}
            progress.epoch = epoch + 1
            progress.seconds += time.perf_counter() - start
            _finish_epoch(stage, optimizer, trained, run, progress, plan, means.mean(), dev, console)
    if plan.keep == "best" and dev_loader is not None and progress.best_epoch:
        load_into(stage, load_tensors(run.checkpoint(stage.name, "best"))[0])
    return progress


def evaluate(stage: Stage, loader: Loader, accelerator: Accelerator | None = None) -> dict[str, float]:
    """Mean of each named loss over the steps of a loader, weighted by clips, in evaluation mode."""
    assert isinstance(stage, nn.Module)
    stage.eval()
    means = _Means()
    with torch.no_grad():
        for batches in loader.steps():
            if accelerator is not None:
                batches = [batch.to(accelerator.device) for batch in batches]
            if batches:
                with accelerator.autocast() if accelerator is not None else nullcontext():
                    losses = losses_of(stage, batches)
                means.add({name: float(value) for name, value in losses.items()}, sum(map(len, batches)))
    return means.mean()


def load_into(stage: Stage, tensors: dict[str, Tensor]) -> None:
    """Copy saved tensors over a stage's own, by name. Raises RunError if the names differ."""
    own = stage.saved()
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise RunError(f"a checkpoint of another model ({odd} ...)", where=stage.name, remedy="start a new run")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _step(
    accelerator: Accelerator,
    stage: Stage,
    batches: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    trained: dict[str, nn.Parameter],
    plan: Plan,
    lr: float,
) -> dict[str, float]:
    for group in optimizer.param_groups:
        group["lr"] = lr
    losses = backward(stage, [batch.to(accelerator.device) for batch in batches], accelerator)
    torch.nn.utils.clip_grad_norm_(trained.values(), plan.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {name: float(value.detach()) for name, value in losses.items()}


def _check(losses: dict[str, float], batches: Sequence[Any], stage: str) -> None:
    if not math.isfinite(losses.get("loss", 0.0)):
        clips = [clip for batch in batches for clip in batch.ids]
        raise RunError(
            f"loss is {losses['loss']} with clips {clips}",
            where=stage,
            remedy="the last checkpoint is kept; lower the learning rate or look at these clips",
        )


def _finish_epoch(
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    trained: dict[str, nn.Parameter],
    run: Run,
    progress: Progress,
    plan: Plan,
    losses: dict[str, float],
    dev: dict[str, float],
    console: Console,
) -> None:
    """Log, and save: best first, then last, so that a crash between the two repeats the epoch and loses nothing."""
    watched = dev.get("loss", losses["loss"])
    tensors = stage.saved()
    if watched < progress.best_loss:
        progress.best_loss, progress.best_epoch = watched, progress.epoch
        save_tensors(run.checkpoint(stage.name, "best"), tensors)
    record = {"kind": "epoch", "stage": stage.name, "epoch": progress.epoch - 1, "step": progress.step}
    run.log({**record, "seconds": progress.seconds, "train": losses, "dev": dev})
    optimizer_state = {
        f"optimizer.{key}.{name}": value
        for name, parameter in trained.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    weights = {f"weights.{name}": tensor for name, tensor in tensors.items()}
    save_tensors(run.checkpoint(stage.name, "last"), {**weights, **optimizer_state}, asdict(progress))
    shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
    shown_dev = "  ".join(f"{name} {value:.3f}" for name, value in dev.items())
    speed = f"{progress.seconds / progress.epoch:.1f} s an epoch"
    console.say(f"{stage.name} epoch {progress.epoch}/{plan.epochs}: {shown} | dev {shown_dev or '-'} | {speed}")


def _restore(stage: Stage, optimizer: torch.optim.Optimizer, trained: dict[str, nn.Parameter], run: Run) -> Progress:
    path = run.checkpoint(stage.name, "last")
    if not path.is_file():
        return Progress()
    tensors, facts = load_tensors(path)
    load_into(stage, {n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")})
    for name, parameter in trained.items():
        keys = ("step", "exp_avg", "exp_avg_sq")
        found = {key: tensors.get(f"optimizer.{key}.{name}") for key in keys}
        if found["step"] is not None:  # a parameter that never had a gradient has no state
            moved = {key: value.to(parameter.device) for key, value in found.items() if value is not None}
            optimizer.state[parameter] = {**moved, "step": found["step"]}
    return Progress(**json.loads(json.dumps(facts)))


def _native_bfloat16() -> bool:
    """bf16 only where the device computes in it: on CPUs without it, it is hundreds of times slower."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


class _Means:
    """Running means of named losses, weighted by clips."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.count = 0

    def add(self, losses: dict[str, float], count: int) -> None:
        for name, value in losses.items():
            self.sums[name] += value * count
        self.count += count

    def mean(self) -> dict[str, float]:
        return {name: total / max(1, self.count) for name, total in self.sums.items()}
