"""The room of scores stands on its own: no torch, and quick to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import glossfree.scoring

SECONDS = 2.0  # 0.3 on a free machine; torch alone takes longer than this
PROGRAM = """
import importlib, json, sys, time
start = time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([time.process_time() - start, sorted(sys.modules)]))
"""


def test_scoring_imports_quickly_and_without_torch() -> None:
    folder = Path(glossfree.scoring.__file__).parent
    names = [f"glossfree.scoring.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"]
    output = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True).stdout
    seconds, modules = json.loads(output)
    assert {"torch", "transformers", "gensim", "typer", "rouge_score"}.isdisjoint(modules)
    assert not [name for name in modules if name.startswith("glossfree.corpora")]
    assert seconds < SECONDS
