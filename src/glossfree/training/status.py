"""`status.json`: what a live run says of itself that steps.jsonl does not, and whether its process still lives.

Written whole by the first process: when a stage begins, with every checkpoint, and when training stops, fails or ends.
A run that is killed writes nothing more; its process tells.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from glossfree.errors import RunError
from glossfree.training.run import Run

STATUS = "status.json"
TYPES: dict[Any, Any] = {"str": str, "int": int, "list[Planned]": list, "str | None": str | None}
TRAINING, STOPPED, FAILED, FINISHED = "training", "stopped", "failed", "finished"


@dataclass(frozen=True)
class Planned:
    """A stage of the run. `kind`: of its batches, as "video": stages of one kind take similar times for an epoch."""

    name: str
    epochs: int
    kind: str


@dataclass
class Status:
    """Where a run stands. Moments are seconds since 1970, `memory` is bytes at most, `skipped` counts clips."""

    state: str = TRAINING
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    process: str = field(default_factory=lambda: process_mark(os.getpid()))
    processes: int = 1
    started: float = field(default_factory=time.time)
    written: float = field(default_factory=time.time)
    planned: list[Planned] = field(default_factory=list)
    stage: str | None = None  # none before the first
    epochs: int = 0
    steps: int = 0
    step: int = 0
    memory: int = 0
    skipped: int = 0
    problem: str | None = None  # what it stopped or failed for

    def write(self, run: Run) -> None:
        """Put it into a run's folder. Where that cannot be written nothing happens: what must be written there says so,
        and a run is not to end for this."""
        self.written = time.time()
        with suppress(RunError):
            run.write_json(STATUS, asdict(self))


def read_status(run: Run) -> Status:
    """What a run last said. Raises RunError if it has said nothing, or nothing that can be read."""
    path = run.folder / STATUS
    if run.recipe.is_file() and not path.is_file():
        raise RunError(
            f"no {STATUS} yet", where=run.folder, remedy="its training has not begun, or glossfree was older"
        )
    found: Any = run.read_json(STATUS)
    try:
        status = Status(**{**found, "planned": [Planned(**each) for each in found["planned"]]})
        _check_types(status, *status.planned)
    except (TypeError, KeyError) as error:
        raise RunError(f"not a status ({error})", where=path, remedy="was it written by another version?") from error
    return status


def _check_types(*values: Status | Planned) -> None:
    """Raise TypeError unless each field holds what it is declared to; a number that is not finite is none."""
    for value in values:
        for each in fields(value):
            content = getattr(value, each.name)
            is_number = isinstance(content, int | float) and math.isfinite(content)
            if not (is_number if each.type == "float" else isinstance(content, TYPES[each.type])):
                raise TypeError(f"{each.name} is not {each.type}")


def is_alive(status: Status) -> bool | None:
    """Whether the process that wrote a status is still there; None where that cannot be seen: on another machine."""
    if status.host != socket.gethostname() or sys.platform == "win32":
        return None
    if status.process:
        return process_mark(status.pid) == status.process
    try:
        os.kill(status.pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def process_mark(pid: int) -> str:
    """What tells a process from a later one of the same number: when it began, in ticks since the machine's start.

    "" where the system does not say (it is Linux that does), and for a process that is no more.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
