"""Curves for people who keep them elsewhere: tensorboard, wandb, trackio, mlflow, through accelerate.

None unless asked for, and then its package is imported by the first process only. steps.jsonl is written all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, get_available_trackers

from glossfree.console import Console
from glossfree.errors import RunError
from glossfree.training.run import Run

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")  # accelerate's words, which are also their packages'
PROJECT = "glossfree"
FOLDER = "trackers"  # of a run: what a tracker writes on this machine


def check_trackers(names: Sequence[str]) -> None:
    """Raise RunError for a tracker that there is none of, or whose package is missing. Imports none of them."""
    unknown = [name for name in names if name not in TRACKERS]
    if unknown:
        raise RunError("no such tracker", where=f"--track {unknown[0]}", remedy=f"one of {', '.join(TRACKERS)}")
    installed = {str(each) for each in get_available_trackers()}
    missing = [name for name in dict.fromkeys(names) if name not in installed]
    if missing:
        packages = " ".join(missing)
        raise RunError("not installed", where=f"--track {', '.join(missing)}", remedy=f"pip install {packages}")


class Trackers:
    """The trackers of a run, started; none for `names` = ().

    A tracker is a courtesy. One that raises is left out from there on, and said once: the run goes on.
    """

    def __init__(self, console: Console, started: Sequence[GeneralTracker] = ()) -> None:
        self.console, self.started = console, list(started)

    @classmethod
    def start(
        cls, names: Sequence[str], run: Run, settings: Mapping[str, Any], console: Console, precision: str
    ) -> Trackers:
        """Begin, or go on with, what `names` keep of `run`; `settings` are kept with it. For the first process only.

        `precision`: accelerate's word for that of training, which all of its Accelerators share. Raises RunError where
        a tracker does not start (not logged in, no server).
        """
        check_trackers(names)
        if not names:
            return cls(console)
        folder = run.folder / FOLDER
        accelerator = Accelerator(
            mixed_precision=precision, log_with=list(dict.fromkeys(names)), project_dir=str(folder)
        )
        plain = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in settings.items()}
        with _Refused(", ".join(names)):
            folder.mkdir(parents=True, exist_ok=True)
            accelerator.init_trackers(PROJECT, config=plain, init_kwargs=_arguments(run))
        return cls(console, accelerator.trackers)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Hand numbers to each, at the run's `step`."""
        for tracker in list(self.started):
            with _OnTheSide(self, tracker):
                tracker.log(dict(values), step=step)

    def finish(self) -> None:
        """Have each write what it still holds."""
        for tracker in list(self.started):
            with _OnTheSide(self, tracker):
                tracker.finish()  # not Accelerator.end_training, which would also part this process from the others
        self.started = []


def _arguments(run: Run) -> dict[str, dict[str, Any]]:
    """What each tracker is told of the run: its name and, so that a resumed run goes on in one curve, which it is."""
    name = run.folder.resolve().name
    made = (run.folder / "run.json").stat().st_mtime_ns if (run.folder / "run.json").is_file() else 0
    mark = hashlib.sha256(f"{run.folder.resolve()} {made}".encode()).hexdigest()[:16]
    return {
        "wandb": {"name": name, "id": mark, "resume": "allow", "dir": str(run.folder / FOLDER)},
        "trackio": {"name": f"{name}-{mark}", "resume": "allow"},
        "mlflow": {"run_name": name},
    }


class _Refused:
    """Inside, whatever a tracker raises when it starts is a RunError: each has errors of its own, unknown here."""

    def __init__(self, names: str) -> None:
        self.names = names

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, Exception):
            remedy = "log in or start its server, then --resume; or leave --track out"
            raise RunError(f"did not start ({_told(error)})", where=f"--track {self.names}", remedy=remedy) from error


class _OnTheSide:
    """Inside, whatever a tracker raises ends this tracker and nothing else."""

    def __init__(self, trackers: Trackers, tracker: GeneralTracker) -> None:
        self.trackers, self.tracker = trackers, tracker

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self.trackers.started.remove(self.tracker)
        self.trackers.console.say(f"{self.tracker.name}: left out from here on ({_told(error)}); the run goes on")
        return True


def _told(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
