"""A run is a folder: resolved recipe, environment, one JSON line a step, checkpoints, weights, predictions, scores."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glossfree import __version__
from glossfree.errors import RunError
from glossfree.files.disk import LEFTOVERS, atomic, read_json, write_atomic

STATUS = "status.json"
TRAINING, STOPPED, FAILED, FINISHED = "training", "stopped", "failed", "finished"  # states of a run
RECORD = {"kind": str, "stage": str, "step": int, "epoch": int}  # what each line of steps.jsonl has, among others
LIBRARIES = ("torch", "transformers", "accelerate", "av", "sentencepiece", "sacrebleu", "numpy")


class Run:
    """The files of one run. `recipe.toml` is the resolved recipe and itself runnable."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.toml"

    @property
    def steps(self) -> Path:
        return self.folder / "steps.jsonl"

    def weights(self, stage: str) -> Path:
        """The weights that a finished stage has saved."""
        return self.folder / "weights" / f"{stage}.safetensors"

    def finisher(self, stage: str) -> Run | None:
        """The run that has finished a stage: this one, or one that it took the stage from, however indirectly."""
        if self.weights(stage).is_file():
            return self
        try:
            facts = self.read_json("run.json")
        except RunError:
            return None
        start, taken = facts.get("start"), facts.get("taken") or [stage]  # an older run does not say what it took
        return Run(Path(start)).finisher(stage) if isinstance(start, str) and stage in taken else None

    def checkpoint(self, stage: str, name: str) -> Path:
        """`last` (with the optimiser) or `best` of a stage that is training."""
        return self.folder / "checkpoints" / f"{stage}.{name}.safetensors"

    def reopens(self, *, resume: bool) -> bool:
        """Whether there is a run to resume. Raises RunError if there is one, and it is not to be resumed.

        One that failed before its first step leaves nothing to resume: it starts anew.
        """
        if not self.recipe.is_file() or self._failed_at_once():
            return False
        if not resume:
            raise RunError("holds a run already", where=self.folder, remedy="--resume it, or name another folder")
        return True

    def _failed_at_once(self) -> bool:
        if self.steps.is_file() or (self.folder / "weights").is_dir():
            return False
        try:
            return self.read_json(STATUS).get("state") == FAILED
        except RunError:  # none, or a damaged one
            return False

    def start(self, recipe_toml: str, facts: dict[str, Any], *, resume: bool) -> None:
        """Make the folder, unless there is a run to resume. Raises RunError."""
        if not self.reopens(resume=resume):
            self.write_json("run.json", {**facts, **environment()})
            self.write("recipe.toml", recipe_toml)  # last: a folder that holds it holds all of this

    def clear(self) -> None:
        """Remove files that a killed process had not finished writing: at full size up to 1.6 GB each.

        safetensors adds names of its own, .tmp and six letters.
        """
        for unfinished in (*self.folder.rglob(".tmp*"), *self.folder.rglob(LEFTOVERS)):
            unfinished.unlink(missing_ok=True)

    def write(self, name: str, text: str) -> Path:
        """Write a text file of the run atomically; what is not UTF-8 in a path becomes a JSON escape."""
        path = self.folder / name
        write_atomic(path, text.encode("utf-8", "backslashreplace"), RunError, parents=True)
        return path

    def write_json(self, name: str, data: Any) -> Path:
        """Write a JSON file of the run atomically."""
        return self.write(name, json.dumps(data, ensure_ascii=False, indent=1) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """The object in a JSON file of the run. Raises RunError if it is missing or broken."""
        path = self.folder / name
        remedy = "restore it or run again" if path.is_file() else "is this the folder of a run?"
        return read_json(path, RunError, remedy=remedy)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to steps.jsonl."""
        try:
            with self.steps.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(record) + "\n")
        except OSError as error:
            remedy = "check free space and permissions"
            raise RunError(f"cannot be written ({error.strerror})", where=self.steps, remedy=remedy) from error

    def records(self) -> Iterator[dict[str, Any]]:
        """The lines of steps.jsonl, without a last one that a crash cut off, and others that are no records."""
        if not self.steps.is_file():
            return
        for line in self.steps.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and all(isinstance(record.get(name), kind) for name, kind in RECORD.items()):
                yield record

    def forget(self, stage: str, epoch: int, step: int) -> None:
        """Drop a stage's lines after `step` steps, and its ends of epochs from `epoch` on: they are written again."""

        def is_ahead(record: dict[str, Any]) -> bool:
            ahead = record["step"] > step or (record["kind"] == "epoch" and record["epoch"] >= epoch)
            return bool(record["stage"] == stage and ahead)

        if self.steps.is_file():
            kept = [record for record in self.records() if not is_ahead(record)]
            self.write("steps.jsonl", "".join(json.dumps(record) + "\n" for record in kept))


def environment() -> dict[str, Any]:
    """Versions and machine: what a reader needs to understand a number."""
    return {
        "glossfree": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> None:
    """Write tensors and a few facts to a safetensors file, atomically. Raises RunError (full disk, rights)."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path, RunError, parents=True, also=(SafetensorError,)) as temporary:
        save_file(plain, temporary, metadata={"facts": json.dumps(facts or {})})
        with temporary.open("r+b") as file:  # some disks say only now that they are full, and after a power failure
            os.fsync(file.fileno())  # there would be the name without the bytes


def load_tensors(path: Path, *, facts_only: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `save_tensors`; `facts_only`: without tensors. Raises RunError: the file is missing or damaged."""
    if not path.is_file():
        raise RunError("missing", where=path, remedy="has that stage finished? glossfree train --resume goes on")
    try:
        with safe_open(path, framework="pt") as file:
            names = [] if facts_only else file.keys()
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in names}, facts
    except (SafetensorError, OSError, ValueError) as error:
        problem = f"damaged, or not to be read ({error})"
        raise RunError(problem, where=path, remedy="restore the file or train that stage again") from error


def load_facts(path: Path) -> dict[str, Any]:
    """The facts in a file of tensors. Raises RunError as `load_tensors`."""
    return load_tensors(path, facts_only=True)[1]
