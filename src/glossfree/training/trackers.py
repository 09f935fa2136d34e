"""Curves for people who keep them elsewhere: tensorboard, wandb, trackio, mlflow, through accelerate.

None unless asked for; then the first process alone imports its package. steps.jsonl is written all the same.
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

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")  # accelerate's names, which are also their packages'
PROJECT = "glossfree"
FOLDER = "trackers"  # of a run: what a tracker writes on this machine


def check_trackers(names: Sequence[str]) -> None:
    """Raise RunError for an unknown tracker, or one whose package is missing. Imports none of them."""
    unknown = [name for name in names if name not in TRACKERS]
    if unknown:
        raise RunError("no such tracker", where=f"--track {unknown[0]}", remedy=f"one of {', '.join(TRACKERS)}")
    installed = {str(each) for each in get_available_trackers()}
    missing = [name for name in dict.fromkeys(names) if name not in installed]
    if missing:
        packages = " ".join(missing)
        raise RunError("not installed", where=f"--track {', '.join(missing)}", remedy=f"pip install {packages}")


class Trackers:
    """The started trackers of a run. One that fails later is dropped with a warning; the run goes on."""

    def __init__(self, console: Console, started: Sequence[GeneralTracker] = ()) -> None:
        self.console, self.started = console, list(started)

    @classmethod
    def start(
        cls, names: Sequence[str], run: Run, settings: Mapping[str, Any], console: Console, precision: str
    ) -> Trackers:
        """Start `names` for `run`, or continue its curves; `settings` are kept with them. For the first process only.

        `precision`: accelerate's name for that of training, which all of its Accelerators share. Raises RunError where
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
        with _Caught() as caught:
            folder.mkdir(parents=True, exist_ok=True)
            accelerator.init_trackers(PROJECT, config=plain, init_kwargs=_arguments(run))
        if caught.error is not None:
            remedy = "log in or start its server, then --resume; or leave --track out"
            where = f"--track {', '.join(names)}"
            raise RunError(f"did not start ({caught.line})", where=where, remedy=remedy) from caught.error
        return cls(console, accelerator.trackers)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers to each tracker, at the run's `step`."""
        for tracker in list(self.started):
            with _Caught() as caught:
                tracker.log(dict(values), step=step)
            self._drop_if_failed(tracker, caught)

    def finish(self) -> None:
        """Have each tracker write what it still holds."""
        for tracker in list(self.started):
            with _Caught() as caught:
                tracker.finish()  # not Accelerator.end_training, which would also end this process's group
            self._drop_if_failed(tracker, caught)
        self.started = []

    def _drop_if_failed(self, tracker: GeneralTracker, caught: _Caught) -> None:
        if caught.error is not None:
            self.started.remove(tracker)
            self.console.warn(f"{tracker.name} failed and is left out from here on ({caught.line}); the run goes on")


class _Caught:
    """A context that catches an Exception of any kind: each tracker has errors of its own, unknown here."""

    error: Exception | None = None

    def __enter__(self) -> _Caught:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None

    @property
    def line(self) -> str:
        """The error in one line."""
        return f"{type(self.error).__name__}: {self.error}".splitlines()[0]


def _arguments(run: Run) -> dict[str, dict[str, Any]]:
    """The options of each tracker: the run's name and, so that a resumed run continues its curve, its identity."""
    name, facts = run.folder.resolve().name, run.folder / "run.json"
    started = facts.stat().st_mtime_ns if facts.is_file() else 0
    identity = hashlib.sha256(f"{run.folder.resolve()} {started}".encode()).hexdigest()[:16]
    return {
        "wandb": {"name": name, "id": identity, "resume": "allow", "dir": str(run.folder / FOLDER)},
        "trackio": {"name": f"{name}-{identity}", "resume": "allow"},
        "mlflow": {"run_name": name},
    }
