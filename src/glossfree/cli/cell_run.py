"""One cell of a sweep, trained and scored in its own folder.

A cell is a run like any other, made by the commands that a person would type, in processes of its own: where one dies
(memory, a broken driver), the sweep goes on. Beside the run its folder holds `cell.toml` (what is to be run), `log.txt`
(what the commands said) and `cell.json` (what came of it).
"""

from __future__ import annotations

import fcntl
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from glossfree.errors import Interrupted, RunError
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import dump_recipe
from glossfree.scoring.predictions import read_scores, scores_path
from glossfree.training.run import Run

WANTED, OUTCOME, LOG = "cell.toml", "cell.json", "log.txt"
DONE, FAILED, WAITING = "done", "failed", "waiting"  # states of an outcome
POLL = 0.2  # seconds
STOPPED = {128 + n for n in (signal.SIGINT, signal.SIGTERM)} | {-signal.SIGINT, -signal.SIGTERM}
ERROR_LINE = re.compile(r"^(?:\[rank\d+\]: ?)?[\w.]*(?:Error|Exception|Interrupt)\b: .+")
Outcome = dict[str, Any]
Stopping = Callable[[], signal.Signals | None]
Tell = Callable[[str], None]


class CellRun:
    """A cell's folder -> the run that it asks for, and its scores. Plain values only: a cluster's job carries it.

    `splits`: what is scored; `processes`: how many train and translate together, as torchrun starts them.
    """

    def __init__(
        self, folder: Path, corpus: Path, splits: Sequence[str], processes: int = 1, track: Sequence[str] = ()
    ) -> None:
        self.folder, self.corpus, self.splits = folder, corpus, tuple(splits)
        self.processes, self.track = processes, tuple(track)
        self.child: subprocess.Popen[bytes] | None = None

    def prepare(self, recipe: Recipe) -> None:
        """Write down what is to be run."""
        Run(self.folder).write(WANTED, dump_recipe(recipe))

    def outcome(self) -> Outcome:
        """What came of it: {"state": DONE, "scores": {split: ...}, "seconds": ...}, {"state": FAILED, "problem": ...},
        or {"state": WAITING} where nothing has yet."""
        if not (self.folder / OUTCOME).is_file():
            return {"state": WAITING}
        found: Outcome = Run(self.folder).read_json(OUTCOME)
        if found["state"] == DONE and not set(self.splits) <= found["scores"].keys():
            return {"state": WAITING}
        return found

    def forget(self) -> None:
        """Drop the outcome of an earlier try."""
        (self.folder / OUTCOME).unlink(missing_ok=True)

    def __call__(self, stopping: Stopping = lambda: None, tell: Tell = lambda note: None) -> Outcome:
        """Train and evaluate, from where the folder stands -> its outcome, which is also written.

        `stopping`: asked now and then; with the signal that it answers the run is stopped, which saves first, and
        Interrupted raised. `tell`: gets a note of where the run is. Raises RunError where nothing can be written.
        """
        with self._alone(stopping, tell) as log:
            found = self.outcome()
            if found["state"] == DONE:
                return found
            self.forget()
            begun, problem = time.time(), ""
            for words in self.commands():
                problem = problem or self._carry_out(words, log, stopping, tell)
            if problem:
                found = {"state": FAILED, "problem": problem}
            else:
                scores = {split: read_scores(scores_path(self.folder, split)).to_dict() for split in self.splits}
                found = {"state": DONE, "scores": scores, "seconds": round(time.time() - begun, 1)}
            Run(self.folder).write_json(OUTCOME, found)
            return found

    def commands(self) -> list[list[str]]:
        """What a person would type, without `glossfree`."""
        recipe, corpus = str(self.folder / WANTED), ["--corpus", str(self.corpus)]
        train = ["train", "--recipe", recipe, *corpus, "--run", str(self.folder), "--resume"]
        train += [word for name in self.track for word in ("--track", name)]
        last = load_recipe(recipe).planned[-1].name
        trained = Run(self.folder).weights(last).is_file()
        evaluate = [["evaluate", str(self.folder), "--split", split, *corpus] for split in self.splits]
        return evaluate if trained else [train, *evaluate]

    def stop(self, seconds: float | None = None) -> None:
        """Ask the command that is under way to stop, and wait until it has saved, `seconds` at most."""
        if self.child is not None:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                self.child.send_signal(signal.SIGTERM)
                self.child.wait(seconds)

    def is_locked(self) -> bool:
        """Whether a process is at work here, on this machine or, where the file system tells, on another."""
        if not (self.folder / LOG).is_file():
            return False
        with (self.folder / LOG).open("ab") as log:
            return not _locked(log)

    @contextmanager
    def _alone(self, stopping: Stopping, tell: Tell) -> Iterator[IO[bytes]]:
        """The log, locked. The commands inherit it, and the lock with it: it lasts as long as one of them lives, also
        where the sweep that started them was killed. Two processes in one folder would spoil it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            log = (self.folder / LOG).open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(self.folder / LOG, error) from error
        with log:
            while not _locked(log):
                _raise_if_asked(stopping(), self.folder)
                tell(f"{self.folder.name}: waits for a process that is still at it")
                time.sleep(POLL)
            yield log

    def _carry_out(self, words: list[str], log: IO[bytes], stopping: Stopping, tell: Tell) -> str:
        """One command, from start to end -> "", or what went wrong."""
        try:
            log.write(f"$ glossfree {shlex.join(words)}\n".encode())
        except OSError as error:
            raise _unwritable(self.folder / LOG, error) from error
        begun = log.seek(0, 2)
        with _unheard("SIGUSR2"):
            self.child = subprocess.Popen(
                [*launcher(self.processes), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            while (code := self.child.poll()) is None and stopping() is None:
                tell(f"{self.folder.name}: {place(self.folder) if words[0] == 'train' else words[0]}")
                time.sleep(POLL)
            if code in STOPPED:
                time.sleep(0.5)  # a signal to the whole group may have come to the child first
            number = stopping()
            if number is not None:
                self.stop()
                _raise_if_asked(number, self.folder)
        finally:
            if self.child.poll() is None:
                self.child.kill()
                self.child.wait()
        return "" if code == 0 else f"{words[0]}: {problem_in(self.folder / LOG, begun, self.child.returncode)}"


def launcher(processes: int) -> list[str]:
    """What stands before a verb: this Python's glossfree, in one process or in several of this machine."""
    if processes == 1:
        return [sys.executable, "-m", "glossfree"]
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *several, "-m", "--", "glossfree"]


def problem_in(log: Path, begun: int, code: int) -> str:
    """The part of a log behind byte `begun` -> the error that it ends with: ours, else Python's, else its last line."""
    with log.open("rb") as file:
        file.seek(begun)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    ours = [line.removeprefix("glossfree: ") for line in lines if line.startswith("glossfree: ")]
    raised = [line for line in lines if ERROR_LINE.match(line)]
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if errors := [*raised[-1:], *ours[-1:]]:
        return f"{errors[-1]} ({how}; see {log})"
    return f"{how}, after: {lines[-1] if lines else 'nothing'} (see {log})"


def place(folder: Path) -> str:
    """Where a run stands, from the last line of its steps.jsonl."""
    try:
        with Run(folder).steps.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            last = json.loads(file.read().splitlines()[-1])
        return f"{last['stage']} step {last['step']}"
    except (OSError, ValueError, IndexError, KeyError):  # not there yet, or half written
        return "train"


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"cannot be written ({error.strerror})", where=path, remedy="check space and rights")


def _locked(log: IO[bytes]) -> bool:
    """Lock an open file, as long as it is open here or in a child; False where another has it."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True


def _raise_if_asked(number: signal.Signals | None, folder: Path) -> None:
    if number is not None:
        stopped = Interrupted("sweep stopped", where=folder, remedy="the same command with --resume goes on")
        stopped.signal = number
        raise stopped


@contextmanager
def _unheard(name: str) -> Iterator[None]:
    """What is started inside ignores a signal: a cluster sends it to every process, and submitit alone answers it."""
    number = getattr(signal, name)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
