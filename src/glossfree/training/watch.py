"""What a stage under way tells: the note behind its bar, its estimates, `status.json`, and trackers.

The loop hands over what it knows and asks nothing back but the note. No number of the training depends on any of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

from torch import nn

from glossfree.console import Console
from glossfree.errors import GlossfreeError, Interrupted
from glossfree.training.checkpoint import Progress
from glossfree.training.estimates import (
    NOISE,
    TIMED,
    WARMING_UP,
    fixed_memory,
    forget_peak,
    held_memory,
    memory_expected,
    memory_line,
    peak_memory,
    size,
    time_line,
)
from glossfree.training.processes import Processes
from glossfree.training.run import Run
from glossfree.training.stage import Loader, MeasuredLoader, Stage, frames_in
from glossfree.training.status import FAILED, FINISHED, STOPPED, Planned, Status
from glossfree.training.step import ALONE
from glossfree.training.trackers import Trackers


@dataclass(frozen=True)
class Spent:
    """What a step took: its frames, of all processes, and seconds, of which some were `waited` for data."""

    frames: int
    seconds: float
    waited: float

    @property
    def speed(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds

    @property
    def waiting(self) -> float:
        """Share of the time, 0-1."""
        return self.waited / self.seconds


class Watch:
    """Of one run. Used as a context around all stages it keeps `status.json` and says its estimates, in the first
    process; otherwise it only makes the notes."""

    def __init__(
        self,
        run: Run,
        console: Console,
        *,
        planned: Sequence[Planned] = (),
        group: Processes = ALONE,
        trackers: Trackers | None = None,
    ) -> None:
        self.run, self.console, self.group = run, console, group
        self.trackers = trackers or Trackers(console)
        self.status = Status(planned=list(planned), processes=group.size)
        self.is_open, self.before = False, 0

    def __enter__(self) -> Watch:
        self.is_open = self.group.is_main
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.status.state = FINISHED
        elif isinstance(error, Interrupted | KeyboardInterrupt):
            told = error.problem if isinstance(error, Interrupted) else "interrupted"
            self.status.state, self.status.problem = STOPPED, told
        else:
            told = str(error) if isinstance(error, GlossfreeError) else f"{type(error).__name__}: {error}"
            self.status.state, self.status.problem = FAILED, told
        self._write()
        self.trackers.finish()

    def begin(self, stage: Stage, loader: Loader, progress: Progress, epochs: int, steps: int) -> None:
        """A stage is about to train, from where `progress` stands."""
        self.name, self.epochs, self.steps, self.first = stage.name, epochs, steps, progress.step
        self.measured = loader if isinstance(loader, MeasuredLoader) else None
        self.frames, self.seconds = 0, 0.0
        forget_peak()
        self.held, self.peak = held_memory(), peak_memory()
        self.trained = sum(each.nbytes for each in stage.trained().values())
        status = self.status
        status.stage, status.epochs, status.steps, status.step = stage.name, epochs, steps, progress.step
        status.skipped = len(progress.skipped)
        self._write()
        if self.trackers.started:  # a run's stages stand one behind the other in one curve
            last = {record["stage"]: record["step"] for record in self.run.records() if record["stage"] != stage.name}
            self.before = sum(last.values())
        if self.is_open and isinstance(stage, nn.Module):
            held = sum(each.nbytes for each in stage.parameters())
            largest = None if self.measured is None else self.measured.largest_batch()
            self.console.say(fixed_memory(stage.name, held, self.trained, largest))

    def step(
        self, progress: Progress, losses: Mapping[str, float], lr: float, batches: Sequence[Any], spent: Spent
    ) -> str:
        """A step is done, the `progress.step`-th, of `batches` in this process -> what stands behind the bar."""
        numbers = {"learning_rate": lr, "frames_per_second": spent.speed, "waiting": spent.waiting}
        if self.trackers.started:
            values = {f"{self.name}/{name}": value for name, value in {**losses, **numbers}.items()}
            self.trackers.log(values, self.before + progress.step)
        if self.is_open and progress.step - self.first <= TIMED:
            self._estimate(progress, batches, spent)
        shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        place = f"epoch {progress.epoch + 1}/{self.epochs}"
        speed = f"{spent.speed:.0f} frames/s  {100 * spent.waiting:.0f} % waiting"
        return f"{place}  {shown}  lr {lr:.1e}  {speed}  peak {size(peak_memory())}"

    def saved(self, progress: Progress) -> None:
        """A checkpoint has been written."""
        self.status.step, self.status.skipped = progress.step, len(progress.skipped)
        self._write()

    def epoch(self, progress: Progress, dev: Mapping[str, float]) -> None:
        """The losses of the dev split are known, after `progress.step` steps."""
        if self.trackers.started and dev:
            values = {f"{self.name}/dev/{name}": value for name, value in dev.items()}
            self.trackers.log(values, self.before + progress.step)

    def _estimate(self, progress: Progress, batches: Sequence[Any], spent: Spent) -> None:
        """Say what memory and time the stage may take, as soon as there is something to tell it from."""
        peak, done = peak_memory(), progress.step - self.first
        if done == 1 and batches and self.measured is not None and peak > self.peak + NOISE:
            # only a new peak tells: other stages, or reading weights, may have held more before
            own, largest = max(map(frames_in, batches)), self.measured.largest_batch()
            if own and largest > own:
                to_come = 0 if self.first else 2 * self.trained  # a resumed optimiser holds its state already
                expected = memory_expected(self.held, peak, own, largest, to_come)
                self.console.say(memory_line(self.name, expected, peak, own, largest))
        if done > WARMING_UP:
            self.frames, self.seconds = self.frames + spent.frames, self.seconds + spent.seconds
        if done == TIMED and self.frames and progress.step < self.steps:
            speed, epochs_left = self.frames / self.seconds, self.epochs * (1 - progress.step / self.steps)
            # steps differ in frames, and three are few: an epoch's frames are the better measure where they are known
            epoch = self.seconds / (TIMED - WARMING_UP) * self.steps / self.epochs
            if self.measured is not None:
                epoch = self.measured.frames() / speed
            self.console.say(time_line(self.name, speed, epoch, epoch * epochs_left, peak, datetime.now()))
            self._write()

    def _write(self) -> None:
        if self.is_open:
            self.status.memory = peak_memory()
            self.status.write(self.run)
