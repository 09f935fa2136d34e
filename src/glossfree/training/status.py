"""`status.json`: what a live run reports besides steps.jsonl, and whether its process is still alive.

The first process writes it when a stage begins, with every checkpoint, and when training stops, fails or ends. A killed
run writes nothing more: its process tells.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from glossfree.errors import RunError
from glossfree.training.run import STATUS, TRAINING, Run

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StillTraining(RunError):
    """A live process trains the run."""


class Damaged(RunError):
    """A status that is no JSON: no live process has left it, for it is written whole or not at all."""


@dataclass(frozen=True)
class Planned:
    """A stage of the run. `kind` of its batches: stages of one kind take similar times for an epoch."""

    __pydantic_config__ = STRICT
    name: str
    epochs: int
    kind: str


@dataclass
class Status:
    """Where a run stands. Times are seconds since 1970, `memory` the peak in bytes, `skipped` a number of clips."""

    __pydantic_config__ = STRICT
    planned: list[Planned]
    state: str = TRAINING
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    process: str = field(default_factory=lambda: start_of_process(os.getpid()))
    processes: int = 1
    started: float = field(default_factory=time.time)
    written: float = field(default_factory=time.time)
    stage: str | None = None  # None before the first
    epochs: int = 0
    steps: int = 0
    step: int = 0
    memory: int = 0
    skipped: int = 0
    problem: str | None = None  # why it stopped or failed

    def write(self, run: Run) -> None:
        """Write it into a run's folder, or do nothing where that fails: training must not end for this."""
        self.written = time.time()
        with suppress(RunError):
            run.write_json(STATUS, asdict(self))


def read_status(run: Run) -> Status:
    """What a run last reported. Raises RunError: nothing yet, or nothing that can be read."""
    path = run.folder / STATUS
    if run.recipe.is_file() and not path.is_file():
        raise RunError(f"no {STATUS} yet", where=run.folder, remedy="training has not begun, or glossfree was older")
    try:
        return TypeAdapter(Status).validate_json(path.read_bytes())
    except OSError as error:
        raise RunError("missing", where=path, remedy="is this the folder of a run?") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        reason = f"not a status ({place}{': ' if place else ''}{problem['msg']})"
        remedy = "was it written by another version? If no process is training here, remove it: nothing else is lost"
        kind = Damaged if problem["type"] == "json_invalid" else RunError
        raise kind(reason, where=path, remedy=remedy) from error


def is_alive(status: Status) -> bool | None:
    """Whether the process that wrote a status is still alive; None where that cannot be seen: on another machine."""
    if status.host != socket.gethostname() or sys.platform == "win32":
        return None
    if status.process:
        return start_of_process(status.pid) == status.process
    try:
        os.kill(status.pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def check_not_training(run: Run) -> None:
    """Raise StillTraining if a process is training this run, RunError as `read_status` if that cannot be known.

    A damaged status is passed over.
    """
    if not (run.folder / STATUS).is_file():
        return
    try:
        status = read_status(run)
    except Damaged:
        return
    if status.state == TRAINING and is_alive(status):
        remedy = "wait for it, or stop it with Ctrl-C or kill: it saves before it ends"
        raise StillTraining(f"process {status.pid} is still training", where=run.folder, remedy=remedy)


def start_of_process(pid: int) -> str:
    """When a process began, in ticks since the machine's start: it tells processes of one number apart.

    "" where the system does not say (Linux does), and for a process that has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
