"""What a stage reports while it trains: a note for its bar, estimates after a few steps, `status.json`, and trackers.

No number of the training depends on any of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from glossfree.console import Console, duration, size
from glossfree.errors import GlossfreeError, Interrupted
from glossfree.training.checkpoint import Progress
from glossfree.training.device import forget_peak, held_memory, peak_memory
from glossfree.training.processes import Processes
from glossfree.training.run import FAILED, FINISHED, STOPPED, Run
from glossfree.training.stage import Loader, MeasuredLoader, Stage, frames_in
from glossfree.training.status import Planned, Status
from glossfree.training.step import SINGLE, random_state, set_random_state
from glossfree.training.trackers import Trackers

TIMED, WARMING_UP = 5, 2  # a stage is timed over its first five steps without two: caches fill, kernels are chosen

Observe = Callable[[Stage, Progress, Mapping[str, float]], None]


@dataclass(frozen=True)
class Spent:
    """What a step took: `units` of data (see `Stage.unit`) of all processes, seconds, and seconds `waited` for data."""

    units: int
    seconds: float
    waited: float


class Watch:
    """Of one run. Inside its context the first process writes `status.json` and says estimates; elsewhere only the
    notes are made.

    `observe` is called at the end of every epoch with the stage, its progress, and losses and scores of the dev split.
    It may set modes and draw random numbers, but must leave weights and gradients as they are.
    """

    def __init__(
        self,
        run: Run,
        console: Console,
        *,
        planned: Sequence[Planned] = (),
        group: Processes = SINGLE,
        trackers: Trackers | None = None,
        observe: Observe | None = None,
    ) -> None:
        self.run, self.console, self.group = run, console, group
        self.trackers, self.observe = trackers or Trackers(console), observe
        self.status = Status(list(planned), processes=group.size)
        self.is_open = False
        self.offset = 0  # steps of earlier stages in the curves of trackers

    def __enter__(self) -> Watch:
        self.is_open = self.group.is_main
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.status.state = FINISHED
        elif isinstance(error, Interrupted | KeyboardInterrupt):
            self.status.state = STOPPED
            self.status.problem = error.problem if isinstance(error, Interrupted) else "interrupted"
        else:
            self.status.state = FAILED
            is_ours = isinstance(error, GlossfreeError)
            self.status.problem = str(error) if is_ours else f"{type(error).__name__}: {error}"
        self._write()
        self.trackers.finish()

    def begin(self, stage: Stage, loader: Loader, progress: Progress, epochs: int, steps: int) -> None:
        """A stage is about to train, from where `progress` stands."""
        self.stage, self.first = stage, progress.step
        self.measured = loader if isinstance(loader, MeasuredLoader) else None
        self.timed: list[Spent] = []
        self.expected_memory = 0
        forget_peak()
        self.held, self.peak = held_memory(), peak_memory()
        status = self.status
        status.stage, status.epochs, status.steps, status.step = stage.name, epochs, steps, progress.step
        status.skipped = len(progress.skipped)
        self._write()
        if self.trackers.started:
            last = {record["stage"]: record["step"] for record in self.run.records() if record["stage"] != stage.name}
            self.offset = sum(last.values())

    def step(
        self, progress: Progress, losses: Mapping[str, float], lr: float, batches: Sequence[Any], spent: Spent
    ) -> str:
        """A step of `batches` in this process is done, the `progress.step`-th -> the note, the loss first."""
        speed, waiting = spent.units / spent.seconds, spent.waited / spent.seconds
        name, done = self.stage.name, progress.step - self.first
        if self.trackers.started:
            numbers = {"learning_rate": lr, "frames_per_second": speed, "waiting": waiting}
            values = {f"{name}/{key}": value for key, value in {**losses, **numbers}.items()}
            self.trackers.log(values, self.offset + progress.step)
        if self.is_open and done <= TIMED:
            if done == 1:
                self._estimate_memory(batches)
            if done > WARMING_UP:
                self.timed.append(spent)
            if done == TIMED and progress.step < self.status.steps:
                self._say_estimates(progress)
        loss, *terms = (f"{key} {value:.3f}" for key, value in losses.items()) if losses else ("",)
        terms = terms if len(terms) > 1 else []  # a single one is the loss
        place = f"epoch {progress.epoch + 1}/{self.status.epochs}"
        parts = [loss, place, f"{speed:.0f} {self.stage.unit}/s", *terms, f"{100 * waiting:.0f} % waiting"]
        return "  ".join([*parts, f"lr {lr:.1e}", f"peak {size(peak_memory())}"])

    def saved(self, progress: Progress) -> None:
        """A checkpoint was written."""
        self.status.step, self.status.skipped = progress.step, len(progress.skipped)
        self._write()

    def epoch(self, progress: Progress, dev: Mapping[str, float]) -> None:
        """The dev split was evaluated, after `progress.step` steps."""
        if self.trackers.started and dev:
            values = {f"{self.stage.name}/dev/{name}": value for name, value in dev.items()}
            self.trackers.log(values, self.offset + progress.step)
        if self.observe is not None:
            state = random_state()
            self.observe(self.stage, progress, dev)
            set_random_state(state)

    def _estimate_memory(self, batches: Sequence[Any]) -> None:
        """Scale what the first step's largest batch took to the largest batch of the stage.

        Not all of it grows with frames: an estimate. Without a new peak (other stages held more) nothing is known.
        """
        peak, frames = peak_memory(), max(map(frames_in, batches), default=0)
        if self.measured is None or not frames or peak <= self.peak:
            return
        # the optimiser's two moments come after the first step, if they were not loaded
        to_come = 0 if self.first else 2 * sum(each.nbytes for each in self.stage.trained().values())
        growth = max(1.0, self.measured.largest_batch() / frames)
        self.expected_memory = self.held + to_come + round((peak - self.held) * growth)

    def _say_estimates(self, progress: Progress) -> None:
        """How long an epoch and the rest of the stage may take, and how much memory."""
        epochs, steps = self.status.epochs, self.status.steps
        seconds = sum(each.seconds for each in self.timed)
        epoch = seconds / len(self.timed) * steps / epochs
        units = sum(each.units for each in self.timed)
        if self.measured is not None and units:  # steps differ in frames: an epoch's frames are the better measure
            epoch = self.measured.frames() * seconds / units
        left = epoch * epochs * (1 - progress.step / steps)
        now = datetime.now()
        end = now + timedelta(seconds=left)
        at = f"{end:%H:%M}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"
        line = f"an epoch takes about {duration(epoch)}, the stage {duration(left)} more (until {at})"
        memory = max(self.expected_memory, peak_memory())
        self.console.say(f"{self.stage.name}: {line}, without validation; memory up to about {size(memory)}")
        self._write()

    def _write(self) -> None:
        if self.is_open:
            self.status.memory = peak_memory()
            self.status.write(self.run)
