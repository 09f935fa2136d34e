"""The one training loop, of every stage. It can be killed at any moment and resumes with bit-equal results."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from glossfree.console import Console, duration
from glossfree.errors import Interrupted, RunError
from glossfree.training.checkpoint import Progress, load_into, restore, save
from glossfree.training.device import fast_precisions, transferred
from glossfree.training.interrupt import Request, stop_requests
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.training.schedule import learning_rate
from glossfree.training.stage import Loader, Stage, frames_in
from glossfree.training.step import SINGLE, backward, losses_of
from glossfree.training.watch import Spent, Watch

Measure = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Plan:
    """How a stage is optimised.

    `warmup` in epochs, at most half of all. `factors` of the learning rate, by part of the model or objective.
    `keep`: which epoch's weights are kept: "loss" (lowest of dev), "last", or the name of a dev score (highest).
    `begin`: the epochs that the stage had before, if it continues: the schedule covers only the others.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup: float
    max_grad_norm: float
    seed: int
    keep: str = "loss"
    optimizer: str = "adamw"
    momentum: float = 0.9
    schedule: str = "one_cycle"
    factors: Mapping[str, float] = field(default_factory=dict)
    begin: int = 0
    best: float = math.inf  # loss (or -score) that a later epoch must be below to be kept
    precision: str = "auto"  # or fp32, bf16, fp16
    checkpoint_minutes: float = 10.0  # between two checkpoints within an epoch; each epoch ends with one

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, of `steps` in all epochs, before factors."""
        share = min(0.5, self.warmup / (self.epochs - self.begin))
        first = steps * self.begin // self.epochs
        return learning_rate(self.schedule, step - first, steps - first, self.learning_rate, share)

    def optimizer_of(self, stage: Stage) -> torch.optim.Optimizer:
        """The optimiser of the trained parameters, with a group for each factor of the learning rate."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in stage.trained().items():
            factor = self.factors.get(stage.part_of(name), 1.0) if self.factors else 1.0
            groups.setdefault(factor, []).append(parameter)
        named = [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                named, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
            )
        kind: type[torch.optim.Adam] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[self.optimizer]
        return kind(named, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)


def train(
    stage: Stage,
    train_loader: Loader,
    dev_loader: Loader | None,
    plan: Plan,
    run: Run,
    console: Console,
    watch: Watch | None = None,
    measure: Measure | None = None,
) -> Progress:
    """Train a stage for `plan.epochs` epochs; at the end it holds the weights that `plan.keep` chooses.

    `measure`: scores of the dev split by name, higher is better; needed if `plan.keep` names one.

    Continues from the last checkpoint in `run`: weights, losses and order of clips are those of an uninterrupted run.
    Raises RunError on a loss that is not finite, naming the clips, and Interrupted when asked to stop, after the
    current step is saved.
    """
    with stop_requests() as request:
        watch = watch or Watch(run, console)
        training = _Training(stage, train_loader, dev_loader, plan, run, console, request, watch, measure)
        progress = training.run_all()
    training.stop_if_asked()  # since the last epoch was saved; from here on a signal acts as usual
    return progress


@dataclass
class _Training:
    """One stage that is training."""

    stage: Stage
    train_loader: Loader
    dev_loader: Loader | None
    plan: Plan
    run: Run
    console: Console
    request: Request
    watch: Watch
    measure: Measure | None

    def __post_init__(self) -> None:
        stage, plan, run, train_loader = self.stage, self.plan, self.run, self.train_loader
        self.accelerator = Accelerator(mixed_precision=precision_of(plan.precision))
        self.group = Processes.here()
        self.trained = stage.trained()
        self.optimizer = plan.optimizer_of(stage)
        self.progress = restore(run, stage, self.optimizer, self.group, self.accelerator.scaler)
        if plan.begin and not self.progress.step:
            self.progress.epoch, self.progress.step = plan.begin, train_loader.num_steps(plan.begin)
            self.progress.best_loss = plan.best
        self.group.wait()
        if self.group.is_main:
            run.forget(stage.name, self.progress.epoch, self.progress.step)
        self.steps = train_loader.num_steps(plan.epochs)
        self.saved_at = time.monotonic()
        self.watch.begin(stage, train_loader, self.progress, plan.epochs, self.steps)

    def run_all(self) -> Progress:
        """Train the remaining epochs."""
        progress, plan, name = self.progress, self.plan, self.stage.name
        with self.console.progress(name, self.steps, says_steps=True) as advance:
            advance(progress.step)
            while progress.epoch < plan.epochs:
                self._train_epoch(advance)
                self._finish_epoch(self._validate())
                self._save_if_due()
        self.group.wait()  # until the first process has written what is read here
        if plan.keep != "last" and self.dev_loader is not None and progress.best_epoch:
            load_into(self.stage, load_tensors(self.run.checkpoint(name, "best"))[0])
        self.group.wait()  # until all have read it: the first process removes it next
        return progress

    def _train_epoch(self, advance: Any) -> None:
        """Train the remaining steps of this epoch."""
        progress, plan, stage = self.progress, self.plan, self.stage
        processor = time.process_time()
        if progress.position == 0:
            torch.manual_seed(seed_of(plan.seed, stage.name, progress.epoch, self.group.rank))
        self.train_loader.set_epoch(progress.epoch, progress.position)
        stage.set_training()
        begun = time.perf_counter()
        for (batches, waited), moved in transferred(timed(self.train_loader.steps()), self.accelerator.device):
            lr = plan.rate(progress.step, self.steps)
            if not batches and self.group.size > 1:
                self._stop_for_want_of_clips("one of several processes could read no clip of a step")
            losses = self._step(moved, lr) if batches else {}
            frames, clips = self._count(batches)
            now = time.perf_counter()
            progress.seconds += now - begun
            progress.add(losses, clips)
            record = {"kind": "step", "stage": stage.name, "epoch": progress.epoch, "step": progress.step, "lr": lr}
            times = {"seconds": round(now - begun, 4), "waited": round(waited, 4)}
            if self.group.is_main:
                self.run.log({**record, "frames": frames, "clips": clips, **losses, **times})
            spent = Spent(clips if stage.unit == "sentences" else frames, now - begun, waited)
            advance(1, note=self.watch.step(progress, losses, lr, batches, spent))
            progress.processor_seconds += time.process_time() - processor
            begun, processor = now, time.process_time()
            self._save_if_due()
        if not progress.clips:
            self._stop_for_want_of_clips("no clip could be read in a whole epoch")

    def _stop_for_want_of_clips(self, problem: str) -> NoReturn:
        remedy = "repair these clips, or remove them from manifest.jsonl and start a new run"
        raise RunError(f"{problem}: {self.train_loader.skipped()}", where=self.stage.name, remedy=remedy)

    def _count(self, batches: Sequence[Any]) -> tuple[int, int]:
        """Frames and clips of a step, of all processes."""
        own = [sum(map(frames_in, batches)), sum(map(len, batches))]
        frames, clips = self.group.numbers(own)
        return frames, clips

    def _step(self, batches: Sequence[Any], lr: float) -> dict[str, float]:
        """One step of the optimiser on batches that are on the device -> its losses.

        Raises RunError where they or the gradients are not finite, before weights change: the last checkpoint is good.
        Losses and norm are read together, after the backward pass: there a step waits for an accelerator, once.
        """
        accelerator, optimizer = self.accelerator, self.optimizer
        for group in optimizer.param_groups:
            group["lr"] = lr * group["factor"]
        tensors = backward(self.stage, batches, accelerator, self.group)
        self.group.sum_gradients(self.trained.values())
        scaler = accelerator.scaler
        if scaler is not None:
            scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.plan.max_grad_norm)
        *values, norm_read = read([*tensors.values(), norm])
        losses = dict(zip(tensors, values, strict=True))
        self._check_finite("loss is", losses["loss"], batches)
        if scaler is None:  # a scaler skips a step of infinite gradients, and scales less from there on
            self._check_finite("gradients have the norm", norm_read, batches)
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return losses

    def _check_finite(self, what: str, value: float, batches: Sequence[Any]) -> None:
        if not math.isfinite(value):
            raise RunError(
                f"{what} {value} with clips {[clip for batch in batches for clip in batch.ids]}",
                where=self.stage.name,
                remedy="the last checkpoint is kept; lower the learning rate, or look at these clips",
            )

    def _save_if_due(self) -> None:
        """Save a checkpoint within an epoch when one is due, and when the process was asked to stop."""
        due = time.monotonic() - self.saved_at > 60 * self.plan.checkpoint_minutes
        own = [int(due), int(self.request.signal or 0)]
        due, signal = self.group.numbers(own, "MAX")  # if one process was asked to stop, all do
        if due or signal:
            self._save()
        self._stop(signal)

    def stop_if_asked(self) -> None:
        """Raise Interrupted if a process was asked to stop, where all steps so far are saved."""
        (signal,) = self.group.numbers([int(self.request.signal or 0)], "MAX")
        self._stop(signal)

    def _stop(self, signal: int) -> None:
        if signal:
            place = f"step {self.progress.step} of {self.steps} of {self.stage.name}"
            stopped = Interrupted(f"stopped and saved at {place}", where=self.run.folder, remedy="--resume goes on")
            stopped.signal = signal
            raise stopped

    def _save(self) -> None:
        skipped = [clip for part in self.group.objects(self.train_loader.skipped()) for clip in part]
        self.progress.skipped = sorted({*self.progress.skipped, *skipped})
        save(self.run, self.stage, self.optimizer, self.progress, self.group, self.accelerator.scaler)
        self.saved_at = time.monotonic()
        self.watch.saved(self.progress)

    def _validate(self) -> dict[str, float]:
        """Losses of the dev split; {} without one."""
        if self.dev_loader is None:
            return {}
        begun, processor = time.perf_counter(), time.process_time()
        self.dev_loader.set_epoch(0)
        losses = evaluate(self.stage, self.dev_loader, self.accelerator, self.group)
        if self.plan.keep not in ("loss", "last"):
            assert self.measure is not None
            losses |= self.measure()
        self.progress.seconds += time.perf_counter() - begun
        self.progress.processor_seconds += time.process_time() - processor
        return losses

    def _finish_epoch(self, dev: dict[str, float]) -> None:
        """Log and save: first best, then last, so that a crash between the two only repeats the validation."""
        stage, progress, plan = self.stage, self.progress, self.plan
        losses, epoch = progress.means(), progress.epoch
        has_score = plan.keep not in ("loss", "last") and plan.keep in dev
        criterion = -dev[plan.keep] if has_score else dev.get("loss", losses["loss"])  # the lowest is kept
        if criterion < progress.best_loss:
            progress.best_loss, progress.best_epoch = criterion, epoch + 1
            if self.group.is_main:
                save_tensors(self.run.checkpoint(stage.name, "best"), stage.saved())
        if self.group.is_main:
            record = {"kind": "epoch", "stage": stage.name, "epoch": epoch, "step": progress.step}
            times = {"seconds": progress.seconds, "processor_seconds": round(progress.processor_seconds, 4)}
            self.run.log({**record, **times, "train": losses, "dev": dev})
        self.watch.epoch(progress, dev)
        progress.next_epoch()
        self._save()
        all_losses = {**losses, **{f"dev {name}": value for name, value in dev.items()}}
        first = [name for name in ("loss", "dev loss", f"dev {plan.keep}") if name in all_losses]
        best = " (best)" if progress.best_epoch == progress.epoch else ""
        time_taken = duration(progress.seconds / (progress.epoch - plan.begin))
        place = f"{stage.name} epoch {progress.epoch}/{plan.epochs}"
        self.console.say(f"{place}: {_shown(all_losses, dict.fromkeys(first))}{best}, {time_taken} an epoch")
        others = [name for name in all_losses if name not in first]
        if others:
            self.console.detail(f"{place}: {_shown(all_losses, others)}")


def _shown(values: Mapping[str, float], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {values[name]:.3f}" for name in names)


def evaluate(
    stage: Stage, loader: Loader, accelerator: Accelerator | None = None, group: Processes = SINGLE
) -> dict[str, float]:
    """Mean of each named loss over the steps of a loader, weighted by clips, in evaluation mode.

    Of several processes each has a part of the steps, and all return the means of all.
    """
    assert isinstance(stage, nn.Module)
    stage.eval()
    means = Progress()
    with torch.no_grad():
        device = accelerator.device if accelerator is not None else torch.device("cpu")
        for (batches, _), moved in transferred(timed(loader.steps()), device):
            if batches:
                with accelerator.autocast() if accelerator is not None else nullcontext():
                    losses = losses_of(stage, moved)
                means.add(dict(zip(losses, read(losses.values()), strict=True)), sum(map(len, batches)))
    return means.over(group).means()


def read(scalars: Iterable[Tensor]) -> list[float]:
    """Scalars on one device -> numbers, in a single transfer."""
    values: list[float] = torch.stack([each.detach().double() for each in scalars]).tolist()
    return values


def seed_of(seed: int, stage: str, epoch: int, rank: int) -> int:
    """The random seed of an epoch in the process `rank`; rank 0 has the seed of a single process."""
    return zlib.crc32(f"{seed}/{stage}/{epoch}{f'/{rank}' if rank else ''}".encode())


def timed(steps: Iterator[Sequence[Any]]) -> Iterator[tuple[Sequence[Any], float]]:
    """Steps -> each with the seconds that it was waited for."""
    while True:
        begun = time.perf_counter()
        try:
            batches = next(steps)
        except StopIteration:
            return
        yield batches, time.perf_counter() - begun


def precision_of(wanted: str = "auto") -> str:
    """accelerate's name of the precision to train in; "auto": the one that the device is fast in.

    On an accelerator bf16 where it computes in it, on older ones fp16 with a scaled loss; float32 on CPUs: small models
    are slower in bf16 even where the CPU computes in it.
    """
    if wanted != "auto":
        return {"fp32": "no"}.get(wanted, wanted)
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if "bf16" in fast_precisions() else "fp16"
