"""The mBART that a run's text stage has trained, as a folder with transformers' names and its tokenizer.

`python tools/mbart_of_run.py runs/evidence/text runs/evidence/mbart`: Sign2GPT's language model in docs/evidence.md.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

NAMES = {"decoder.mbart.": "", "hierarchy.language.encoder.": "model.encoder."}  # ours -> transformers'
TABLE = "model.encoder.embed_tokens.weight", "model.shared.weight"


def main() -> None:
    """Write `model.safetensors` and the tokenizer's files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stage", default="denoise")
    given = parser.parse_args()
    tensors = {}
    for name, tensor in load_file(given.run / "weights" / f"{given.stage}.safetensors").items():
        for ours, theirs in NAMES.items():
            if name.startswith(ours):
                named = theirs + name.removeprefix(ours)
                tensors[TABLE[1] if named == TABLE[0] else named] = tensor
    given.folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, given.folder / "model.safetensors")
    shutil.copytree(given.run / "tokenizer", given.folder, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
