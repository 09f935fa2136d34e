"""Where a run stands, read off its folder while it trains, or afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from glossfree.console import Result, duration, size
from glossfree.training.run import TRAINING, Run
from glossfree.training.status import Status, is_alive, read_status
from glossfree.training.watch import WARMING_UP

GONE = "no longer alive"
SILENCE = 30 * 60.0  # seconds of silence after which a run on another machine counts as dead
RECENT_STEPS, RECENT_EPOCHS = 50, 3  # that speeds are averaged over
NO_LOSS = {
    "kind",
    "stage",
    "epoch",
    "step",
    "lr",
    "frames",
    "clips",
    "seconds",
    "processor_seconds",
    "waited",
}  # of a step's line
Record = dict[str, Any]


@dataclass(frozen=True)
class RunStatus(Result):
    """The state of a run. Seconds, bytes and shares (0-1) are plain numbers; None: not known, or not yet.

    `speed` is in `unit` (frames, segments or sentences) a second.
    `all_seconds_left` leaves out the stages `without`: nothing of their kind has been seen yet.
    """

    run: str
    state: str
    stage: str | None
    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    train_losses: dict[str, float]
    dev_losses: dict[str, float]
    best_loss: float | None
    best_epoch: int | None
    learning_rate: float | None
    speed: float | None
    unit: str
    waiting: float | None
    memory_bytes: int
    elapsed_seconds: float
    stage_seconds_left: float | None
    all_seconds_left: float | None
    without: tuple[str, ...]
    checkpoint_seconds_ago: float | None
    sign_seconds_ago: float
    skipped_clips: int
    pid: int
    host: str
    processes: int
    problem: str | None

    def to_text(self) -> str:
        """A line for each known fact."""
        rows = {"run": self.run, "state": self.state + (f": {self.problem}" if self.problem else "")}
        rows["process"] = f"{self.pid} on {self.host}" + (f", first of {self.processes}" if self.processes > 1 else "")
        if self.stage is not None:
            rows["stage"] = self.stage
        if self.steps:
            rows["stage"] += f", epoch {self.epoch} of {self.epochs}, step {self.step:,} of {self.steps:,}"
        for name, losses in (("losses", self.losses), ("train", self.train_losses), ("dev", self.dev_losses)):
            if losses:
                rows[name] = "  ".join(f"{term} {value:.4g}" for term, value in losses.items())
        if self.best_loss is not None:
            rows["best"] = f"loss {self.best_loss:.4g} in epoch {self.best_epoch}"
        if self.speed is not None and self.waiting is not None:
            speed = f"{self.speed:,.0f} {self.unit}/s, {100 * self.waiting:.0f} % of the time waiting for data"
            rows["speed"] = f"{speed}, learning rate {self.learning_rate:.2g}"
        rows["memory"] = f"{size(self.memory_bytes)} at most"
        rows["time"] = f"{duration(self.elapsed_seconds)} so far"
        if self.stage_seconds_left is not None:
            rows["time"] += f", the stage about {duration(self.stage_seconds_left)} more"
        if self.all_seconds_left is not None:
            without = f" without {', '.join(self.without)}" if self.without else ""
            rows["time"] += f", all stages{without} about {duration(self.all_seconds_left)}"
        if self.checkpoint_seconds_ago is not None:
            rows["checkpoint"] = f"{duration(self.checkpoint_seconds_ago)} old"
        if self.state == TRAINING:
            rows["last sign"] = f"{duration(self.sign_seconds_ago)} ago"
        if self.skipped_clips:
            rows["skipped"] = f"{self.skipped_clips} clips that could not be read"
        return "\n".join(f"{name:<12}{row}" for name, row in rows.items())


def read_progress(run: Path) -> RunStatus:
    """The run in a folder -> where it stands. Raises RunError for a folder without a run or without its status."""
    opened, now = Run(run), time.time()
    saved = read_status(opened)
    records = [record for record in opened.records() if is_complete(record)]
    sign = max(saved.written, opened.steps.stat().st_mtime if opened.steps.is_file() else 0.0)
    state = state_of(saved, silence=now - sign)
    stage = saved.stage or (records[-1]["stage"] if records else None)
    own = [record for record in records if record["stage"] == stage]
    steps, epochs = (of_kind(own, kind) for kind in ("step", "epoch"))
    last = steps[-1] if steps else None
    done = max(saved.step, last["step"]) if last else saved.step
    recent = steps[-RECENT_STEPS:]
    seconds = sum(record["seconds"] for record in recent)
    reads = next((each.kind for each in saved.planned if each.name == stage), "clips")
    counted = "clips" if reads == "sentences" else "frames"
    best = min(((watched(record), record["epoch"] + 1) for record in epochs), default=(None, None))
    live = state == TRAINING and saved.steps > 0
    left = seconds_left(own, done, saved.steps, saved.epochs) if live else None
    to_come, without = seconds_to_come(saved, records, opened) if live else (None, ())
    checkpoint = opened.checkpoint(stage, "last") if stage else run
    return RunStatus(
        run=str(run),
        state=state,
        stage=stage,
        epoch=min(saved.epochs, (last["epoch"] + 1) if last else 1),
        epochs=saved.epochs,
        step=done,
        steps=saved.steps,
        losses={} if last is None else {name: value for name, value in last.items() if name not in NO_LOSS},
        train_losses=epochs[-1]["train"] if epochs else {},
        dev_losses=epochs[-1]["dev"] if epochs else {},
        best_loss=best[0],
        best_epoch=best[1],
        learning_rate=None if last is None else last["lr"],
        speed=sum(record.get(counted, 0) for record in recent) / seconds if seconds else None,
        unit="frames" if reads == "clips" else reads,
        waiting=sum(record["waited"] for record in recent) / seconds if seconds else None,
        memory_bytes=saved.memory,
        elapsed_seconds=(now if state == TRAINING else sign) - saved.started,
        stage_seconds_left=left,
        all_seconds_left=None if left is None or to_come is None else left + to_come,
        without=without,
        checkpoint_seconds_ago=now - checkpoint.stat().st_mtime if stage and checkpoint.is_file() else None,
        sign_seconds_ago=now - sign,
        skipped_clips=saved.skipped,
        pid=saved.pid,
        host=saved.host,
        processes=saved.processes,
        problem=saved.problem,
    )


def state_of(saved: Status, *, silence: float) -> str:
    """The state that a run last wrote, unless its process is gone or, on another machine, silent for too long."""
    if saved.state != TRAINING:
        return saved.state
    alive = is_alive(saved)
    if alive is None:
        alive = silence < SILENCE
    return TRAINING if alive else GONE


def is_complete(record: Record) -> bool:
    """Whether one of `Run.records` holds all that a run writes; a damaged one may not."""
    names = ("step", "epoch", "seconds", *(("lr", "frames", "waited") if record["kind"] == "step" else ()))
    numbers = [record.get(name) for name in names]
    if record["kind"] == "epoch":
        train, dev = record.get("train"), record.get("dev")
        if not isinstance(train, dict) or not isinstance(dev, dict) or "loss" not in train:
            return False
        numbers += [*train.values(), *dev.values()]
    else:
        numbers += [value for name, value in record.items() if name not in NO_LOSS]
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)


def of_kind(records: Sequence[Record], kind: str) -> list[Record]:
    """The lines of steps, or of epochs."""
    return [record for record in records if record["kind"] == kind]


def watched(record: Record) -> float:
    """The loss that decides which epoch is the best: of the dev split, without one of training."""
    return float(record["dev"].get("loss", record["train"]["loss"]))


def epoch_seconds(records: Sequence[Record]) -> float | None:
    """Seconds per epoch of a stage with validation, over the last few; None before the first has ended."""
    # a stage's clock, which stands still while the run does
    clock = [0.0, *(float(record["seconds"]) for record in of_kind(records, "epoch"))]
    taken = [later - earlier for earlier, later in pairwise(clock)][-RECENT_EPOCHS:]
    return fmean(taken) if taken else None


def seconds_left(records: Sequence[Record], done: int, steps: int, epochs: int) -> float | None:
    """Seconds left of a stage after `done` steps; before its first epoch has ended, without validation."""
    left = max(0, steps - done)
    per_epoch = epoch_seconds(records)
    if per_epoch is not None:
        return per_epoch * epochs * left / steps
    taken = [float(record["seconds"]) for record in of_kind(records, "step")][WARMING_UP:]
    return fmean(taken) * left if taken else None


def seconds_to_come(saved: Status, records: Sequence[Record], run: Run) -> tuple[float | None, tuple[str, ...]]:
    """Seconds that the stages after this one may take, by the latest stage of their kind, and the stages of a kind that
    has no epoch yet."""
    kinds = {stage.name: stage.kind for stage in saved.planned}
    known: dict[str, float] = {}
    for name, kind in kinds.items():
        of_stage = [record for record in records if record["stage"] == name]
        per_epoch = epoch_seconds(of_stage)
        if per_epoch is not None:
            known[kind] = per_epoch
    names = list(kinds)
    later = names[names.index(saved.stage) + 1 :] if saved.stage in names else []
    to_come = [stage for stage in saved.planned if stage.name in later and not run.weights(stage.name).is_file()]
    without = tuple(stage.name for stage in to_come if stage.kind not in known)
    if to_come and len(without) == len(to_come):
        return None, without
    return sum(stage.epochs * known[stage.kind] for stage in to_come if stage.kind in known), without
