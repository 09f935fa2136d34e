"""`glossfree translate` of one clip, from the start of its process to its end, beside the imports that it needs.

Three minutes on two cores, 4 GB of memory, 2 GB on the disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.decoding import write_run
from benchmarks.loader import signer
from benchmarks.timing import in_turns, machine, table
from glossfree.console import Silent
from glossfree.export import export_model
from glossfree.recipe.files import load_recipe
from glossfree.video.pack import write_clip

SIZES = {"demo": "demo", "full size": "hfa-phoenix14t"}
TOKENS = 8  # of a sentence
FRAMES, ROUNDS, REPEATS = 58, 3, 2
FLOOR, GOAL = "import torch, av, cv2, safetensors.torch", 1.6
# what `translate` does, with the clock read in between
PARTS = """
import json, sys, time
from glossfree.cli import translate
from glossfree.translator import SignTranslator
imported = time.perf_counter()
SignTranslator.from_pretrained(sys.argv[1]).translate(sys.argv[2])
print(json.dumps(time.perf_counter() - imported))
"""


def process(*arguments: object) -> str:
    """Run Python with these arguments -> its output. Raises CalledProcessError."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def model_folder(work: Path, recipe: str) -> Path:
    """A model of a recipe's sizes, with random weights."""
    write_run(work / "run", load_recipe(recipe, [f"decode.max_new_tokens={TOKENS}"]))
    export_model(work / "run", work / "model", Silent())
    return work / "model"


def measured(work: Path, sizes: dict[str, str], frames: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each process, all in turns, and of the work within a translation."""
    video = work / "clip.mp4"
    write_clip(video, signer(frames, seed=0), 25.0)
    folders = {name: model_folder(work / name.replace(" ", "-"), recipe) for name, recipe in sizes.items()}
    variants: dict[str, Callable[[], object]] = {
        "nothing": lambda: process("-c", ""),
        "floor": lambda: process("-c", FLOOR),
        "help": lambda: process("-m", "glossfree", "--help"),
        "help of translate": lambda: process("-m", "glossfree", "translate", "--help"),
    }
    for name, folder in folders.items():
        variants[name] = partial(process, "-m", "glossfree", "translate", folder, video)
    seconds = in_turns(variants, rounds)
    work_of = {
        name: min(json.loads(process("-c", PARTS, each, video)) for _ in range(REPEATS))
        for name, each in folders.items()
    }
    return seconds, work_of


def run(sizes: dict[str, str] = SIZES, frames: int = FRAMES, rounds: int = ROUNDS) -> str:
    """The table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        seconds, work = measured(Path(name), sizes, frames, rounds)
    floor = seconds["floor"]
    rows = [[f"`{FLOOR}`", f"{floor:.2f}", "", "1.00"]]
    rows += [
        [f"`glossfree translate`, {name}", f"{seconds[name]:.2f}", f"{work[name]:.2f}", f"{seconds[name] / floor:.2f}"]
        for name in sizes
    ]
    rows += [
        [f"the help of `{words}`", f"{seconds[name]:.2f}", "", f"{seconds[name] / floor:.2f}"]
        for words, name in (("glossfree", "help"), ("glossfree translate", "help of translate"))
    ]
    note = (
        f"Whole processes by the clock, medians of {rounds} in turns; Python alone takes {seconds['nothing']:.2f} s. "
        f"Work: a model folder opened and one clip of {frames} frames translated (random weights, at most {TOKENS} "
        f"tokens), the fastest of {REPEATS}. Goals: "
        f"{GOAL} times the imports at the demo's sizes, 0.35 s for the help. {machine()}."
    )
    return "\n\n".join([table(["process", "s", "of it work, s", "times the imports"], rows), note])
