"""The losses of HFA, step by step, on the real command line: what a change of the code must leave as it is.

`python tests/paper/losses.py FILE.json` records them. Two files of one machine, from before and after a refactoring, are
equal to the last byte. tests/paper/losses.json is made anew only where the numbers are meant to change, and the commit
then says why: other processors and another torch round differently, and so may another order of the same operations.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")
# when the record was made, equal sentences were negatives, and the learning rate rose for 5 % of all steps
THEN = ["pretrain.objectives.contrastive.equal_sentences=negatives"]
# 20 steps of every stage: 160 clips in batches of 8 or, for an epoch of four, of 32
DEMO = [*THEN, "pretrain.epochs=1", "finetune2.epochs=1", "pretrain.warmup=0.05", "finetune2.warmup=0.05"]
# 2 steps of every stage of the paper, of 2 clips of 6 frames
FULL = [*THEN, "data.num_workers=0", "data.max_frames=6", "text.num_pieces=100"]
FULL += [f"{stage}.{setting}" for stage in STAGES[1:] for setting in ("epochs=1", "batch_size=2", "warmup=0.05")]


def losses(folder: Path, recipe: str, clips: dict[str, int], overrides: list[str], frame_size: int) -> dict[str, Any]:
    """Train a recipe on drawn clips -> {stage: {"steps": losses of each step, "dev": of each epoch}}."""
    corpus, run = folder / "corpus", folder / "run"
    counts = [word for split, count in clips.items() for word in (f"--{split}", str(count))]
    settings = [word for override in overrides for word in ("--set", override)]
    _glossfree(
        ["prepare", "wetter", *counts, "--frame-size", frame_size, "--workers", 1, "--out", corpus],
        ["glosses", corpus],
        ["train", "--recipe", recipe, "--corpus", corpus, "--run", run, *settings],
    )
    recorded: dict[str, Any] = {}
    for line in map(json.loads, (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()):
        stage = recorded.setdefault(line["stage"], {"steps": [], "dev": []})
        if line["kind"] == "epoch":
            stage["dev"].append(_recorded(line["dev"]))
        else:
            stage["steps"].append(_recorded(line))
    return recorded


def _recorded(line: dict[str, Any]) -> dict[str, float]:
    return {name: line[name] for name in ("loss", "pseudo_gloss", "contrastive") if name in line}


def at_the_demos_sizes(folder: Path, overrides: list[str] = DEMO) -> dict[str, Any]:
    """20 steps of each stage of the demo."""
    return losses(folder, "demo", {"train": 160, "dev": 16, "test": 1}, overrides, 64)


def at_full_size(folder: Path, overrides: list[str] = FULL) -> dict[str, Any]:
    """2 steps of each stage of the paper."""
    return losses(folder, "hfa-phoenix14t", {"train": 4, "dev": 2, "test": 1}, overrides, 256)


def machine() -> dict[str, str]:
    """What the last bits of a number depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line for line in lines if line.startswith("model name")]
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }


# a program: commands of the command line, one after another, until one fails
IN_TURN = """
import json, sys
from glossfree.cli.app import main
for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as ended:
        if ended.code:
            raise
"""


def _glossfree(*commands: Sequence[object]) -> None:
    """Run commands one after another, in a process of one thread, which imports everything only once."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = json.dumps([list(map(str, command)) for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN, words], env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{words}: exit code {done.returncode}\n{done.stderr}")


def main(record: Path) -> None:
    """Write the record."""
    made: dict[str, Any] = {"machine": machine()}
    for name, make in (("demo", at_the_demos_sizes), ("full", at_full_size)):
        with tempfile.TemporaryDirectory() as folder:
            made[name] = make(Path(folder))
    record.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
