"""The visual encoder of a model folder alone, as a folder that `vision.weights` and `features --encoder` take.

`python tools/backbone_of.py runs/demo/model benchmarks/backbone`: the encoder of docs/evidence.md.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from glossfree.pipeline.weights import BACKBONE, MODEL, RECIPE


def main() -> None:
    """Write the weights, with the facts that the model's have, and the recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with safe_open(given.model / MODEL, framework="pt") as file:
        names = filter(lambda name: name.startswith(BACKBONE), file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
        save_file(tensors, given.folder / MODEL, file.metadata())
    shutil.copy(given.model / RECIPE, given.folder / RECIPE)


if __name__ == "__main__":
    main()
