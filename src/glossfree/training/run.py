"""A run is a folder: resolved recipe, environment, one JSON line a step, checkpoints, weights, predictions, scores."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glossfree import __version__
from glossfree.errors import RunError

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "av", "sentencepiece", "sacrebleu", "numpy")


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
        """The weights that a finished stage leaves behind."""
        return self.folder / "weights" / f"{stage}.safetensors"

    def checkpoint(self, stage: str, name: str) -> Path:
        """`last` (with the optimiser) or `best` of a stage that is under way."""
        return self.folder / "checkpoints" / f"{stage}.{name}.safetensors"

    def reopens(self, *, resume: bool) -> bool:
        """Whether a run is here already, to go on with. Raises RunError if it is not to be resumed."""
        if not self.recipe.is_file():
            return False
        if not resume:
            raise RunError("holds a run already", where=self.folder, remedy="--resume it, or name another folder")
        return True

    def start(self, recipe_toml: str, facts: dict[str, Any], *, resume: bool) -> None:
        """Make the folder, unless there is a run to resume. Raises RunError."""
        if not self.reopens(resume=resume):
            self.write_json("run.json", {**facts, **environment()})
            self.write("recipe.toml", recipe_toml)  # last: a folder that holds it holds all of this

    def clear(self) -> None:
        """Remove tensors that a killed process was in the middle of writing: nobody else would, and at full size each
        such file is up to 1.6 GB. Part of them have names of safetensors' own making, .tmp and six letters."""
        for folder in (self.folder, self.folder / "checkpoints", self.folder / "weights"):
            for unfinished in (*folder.glob(".tmp*"), *folder.glob(".*.safetensors.tmp")):
                unfinished.unlink(missing_ok=True)

    def write(self, name: str, text: str) -> Path:
        """A text file of the run, whole or not at all; of a path that is no UTF-8, JSON's escapes are written."""
        path = self.folder / name
        _whole(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "backslashreplace")))
        return path

    def write_json(self, name: str, data: Any) -> Path:
        """A JSON file of the run, whole or not at all."""
        return self.write(name, json.dumps(data, ensure_ascii=False, indent=1) + "\n")

    def read_json(self, name: str) -> Any:
        """A JSON file of the run. Raises RunError if it is missing or broken."""
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError("missing", where=path, remedy="is this the folder of a run?") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"not JSON ({error})", where=path, remedy="restore it or run again") from error

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to steps.jsonl."""
        try:
            with self.steps.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(record) + "\n")
        except OSError as error:
            raise RunError(f"cannot be written ({error.strerror})", where=self.steps, remedy="check space") from error

    def records(self) -> Iterator[dict[str, Any]]:
        """What was logged; a last line cut off by a crash is left out."""
        if not self.steps.is_file():
            return
        for line in self.steps.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue

    def forget(self, stage: str, epoch: int, step: int) -> None:
        """Drop the lines of a stage that lie behind `step` steps and from the end of `epoch` on: a resumed run writes
        them again."""

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
    """Tensors and a few facts -> one safetensors file, whole or not at all. Raises RunError (full disk, rights)."""
    metadata = {"facts": json.dumps(facts or {})}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        save_file(plain, temporary, metadata=metadata)
        with temporary.open("r+b") as file:  # some disks tell only now that they are full, and a machine that loses
            os.fsync(file.fileno())  # its power would find the name and not the bytes

    _whole(path, write)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `save_tensors`. Raises RunError if the file is missing or damaged."""
    return _opened(path, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no dict)


def load_facts(path: Path) -> dict[str, Any]:
    """The facts beside the tensors of a file, which are not read. Raises RunError as `load_tensors`."""
    return _opened(path, lambda file: {})[1]


def _opened(path: Path, read: Callable[[Any], dict[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise RunError("missing", where=path, remedy="has that stage finished? glossfree train --resume goes on")
    try:
        with safe_open(path, framework="pt") as file:
            return read(file), json.loads((file.metadata() or {}).get("facts", "{}"))
    except (SafetensorError, ValueError) as error:
        raise RunError(f"damaged ({error})", where=path, remedy="restore the file or train that stage again") from error


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):  # the folder itself may be the problem
            temporary.unlink()
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot be written ({reason})", where=path, remedy="check space and rights") from error
