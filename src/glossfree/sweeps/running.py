"""Cells of a sweep as processes of this machine: their commands, one after another, for several cells at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from glossfree.console import Console
from glossfree.errors import Interrupted, RunError
from glossfree.sweeps.cells import UNDER_WAY, Cell
from glossfree.sweeps.tasks import Cells
from glossfree.training.interrupt import Request
from glossfree.training.run import FAILED, Run
from glossfree.training.status import StillTraining, check_not_training, read_status

POLL = 0.5  # seconds between checks for a request to stop
# exit codes of a command that was asked to stop, whether it saved or not
STOPPED = tuple(code for each in (signal.SIGINT, signal.SIGTERM) for code in (-each, 128 + each))
LOG = "log.txt"  # of a cell that is not alone


class Running:
    """A cell whose commands run, each when the one before it has ended well.

    `is_alone`: their output goes to standard error; else to a file in the run's folder, and each has a single thread.
    """

    def __init__(self, cell: Cell, commands: Sequence[Sequence[str]], run: Path, *, is_alone: bool) -> None:
        self.cell, self.commands, self.run, self.is_alone = cell, list(commands), run, is_alone
        self.start = time.time()
        self.outcome: dict[str, Any] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        try:
            check_not_training(Run(run))
        except StillTraining as error:
            self.outcome = {"state": UNDER_WAY, "problem": f"{error.problem}: {error.remedy}"}
        except RunError as error:  # of a status that cannot be understood
            self.outcome = {"state": FAILED, "problem": str(error)}
        else:
            self._next()

    def poll(self, seconds: float = 0.0, *, stops: bool = False) -> bool:
        """Whether it has ended, with an `outcome`: {"seconds"} or {"state": FAILED, "problem"}; waits up to `seconds`.

        `stops`: no further command is started; a cell with commands left has no outcome then. Nor has one whose command
        was asked to stop, by whomever.
        """
        if self.process is None:
            return True
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        if (code := self.process.poll()) is None:
            return False
        if code in STOPPED:
            pass
        elif code and not stops:
            self.outcome = {"state": FAILED, "problem": self._problem(code)}
        elif not code and not self.commands:
            self.outcome = {"seconds": round(time.time() - self.start, 1)}
        elif not stops and self._next():
            return False
        self.process = None
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command that runs: a training saves."""
        if self.process is not None:
            self.process.send_signal(number)

    def wait(self) -> None:
        """Wait until the command that runs has ended."""
        if self.process is not None:
            self.process.wait()

    def _next(self) -> bool:
        """Start the next command; False, with an outcome, if its output cannot be written."""
        self.words, self.begin = self.commands.pop(0), time.time()
        if self.is_alone:  # standard output is for the result of the sweep alone
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=2)
            return True
        path = self.run / LOG
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            log = path.open("ab")
        except OSError as error:
            self.outcome = {"state": FAILED, "problem": f"{path} cannot be written ({error.strerror})"}
            return False
        with log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        return True

    def _problem(self, code: int) -> str:
        """Why a command failed, as its run recorded it or by its exit code."""
        verb = self.words[self.words.index("glossfree") + 1]
        problem = f"exit code {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"
        with suppress(RunError):  # a failed training records the reason
            status = read_status(Run(self.run))
            if status.state == FAILED and status.problem and status.written >= self.begin:
                problem = status.problem
        return f"{verb}: {problem}"


def train_waiting(cells: Cells, save: Callable[[], object], console: Console, request: Request) -> None:
    """Train and score the cells that wait, `how.jobs` at a time; `save` is called whenever one has ended.

    Raises Interrupted after a request to stop, which is forwarded: trainings save. So they do after any other error.
    """
    running: list[Running] = []
    try:
        _train_waiting(cells, save, console, request, running)
    finally:
        for each in running:
            each.send(signal.SIGTERM)
        for each in running:
            each.wait()
    if request.signal:
        stopped = Interrupted("sweep stopped", where=cells.how.runs, remedy="the same command with --resume goes on")
        stopped.signal = request.signal
        raise stopped


def _train_waiting(
    cells: Cells, save: Callable[[], object], console: Console, request: Request, running: list[Running]
) -> None:
    is_forwarded = False
    how = cells.how
    while True:
        names = {each.cell.name for each in running}
        waiting = [cell for cell in cells.waiting() if cell.name not in names]
        for cell in waiting[: 0 if request else how.jobs - len(running)]:
            log = f", one thread, output in {how.runs / cell.name / LOG}" if how.jobs > 1 else ""
            known = [each.name for each in cells.known()]
            console.say(f"{cell.name} ({known.index(cell.name) + 1} of {len(known)} known so far{log})")
            commands = cells.commands(cell)
            running.append(Running(cell, commands, how.runs / cell.name, is_alone=how.jobs == 1))
        if request.signal and not is_forwarded:
            is_forwarded = True
            for each in running:
                each.send(request.signal)
        if not running:
            break
        for number, each in enumerate([*running]):
            if each.poll(0 if number else POLL, stops=bool(request)):
                running.remove(each)
                if each.outcome is not None:
                    cells.ended(each.cell, each.outcome)
                    if how.jobs > 1:
                        outcome = cells.outcomes[each.cell.name]
                        problem = f": {outcome['problem']}" if "problem" in outcome else ""
                        console.say(f"{each.cell.name}: {outcome['state']}{problem}")
                save()
