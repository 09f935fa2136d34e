"""What a process that translates does not import, and how it ends: either costs seconds, and comes back unseen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NEVER = (
    *("transformers", "peft", "accelerate", "huggingface_hub", "torch._dynamo", "torch.distributed.tensor"),
    *("scipy", "sklearn", "pandas", "gensim", "HanTa", "spacy", "jinja2", "onnx", "onnxruntime"),
)


def test_a_process_that_translates_imports_only_what_it_needs(tiny: Any, tiny_model: Path) -> None:
    code = (
        "import sys\nfrom glossfree.opening import open_model\n"
        "print(open_model(sys.argv[1]).translate(sys.argv[2]), file=sys.stderr)\nprint(*sys.modules)"
    )
    clip = next(tiny.corpus.rglob("*.mp4"))
    command = [sys.executable, "-c", code, str(tiny_model), str(clip)]
    modules = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert "torch" in modules
    assert [name for name in NEVER if name in modules] == []


ENDING = """
import atexit, sys, threading, time
from glossfree.cli import app
atexit.register(lambda: print("taken apart"))
def main():
    atexit.register(lambda: print("last words"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("a thread's"))).start()
    {act}
app.main = main
app.run()
"""


@pytest.mark.parametrize(
    ("act", "code"), [("pass", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit('why')", 1), ("1 / 0", 1)]
)
def test_a_process_ends_with_its_code_behind_all_that_it_has_to_say(act: str, code: int) -> None:
    command = [sys.executable, "-c", ENDING.format(act=act)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    quick = act not in ("sys.exit('why')", "1 / 0")
    assert done.stdout.split("\n")[:2] == ["a thread's", "last words"]
    assert ("taken apart" in done.stdout) == (not quick)
    assert ("why" in done.stderr, "ZeroDivisionError" in done.stderr) == ("why" in act, "/" in act)


def test_a_process_whose_output_was_closed_ends_quietly() -> None:
    command = ["bash", "-c", '"$0" -m glossfree --version >&-', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
