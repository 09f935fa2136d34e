"""A disk that is full when a run wants to write: one line, exit code 2, the checkpoint before still whole; with space
again the run goes on bit for bit. A limit on the size of a file stands for it; where it can be had, a small disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.flow.nursery import STAGES, Moment, Nursery, different, outcome, train

from glossfree.training.run import load_tensors

EVERY_STEP = "training.checkpoint_minutes=0"
# what is written next where this kills, and how many bytes of it fit
LAST, WEIGHTS, LINE = "last checkpoint", "weights", "line of steps.jsonl"
# the third time that a run comes to it, the disk fills up
FILLED = (
    ("a line", "after"),
    ("step of pretrain", "after"),
    ("finetune1.last.safetensors", "renamed"),
    ("step of finetune2", "before"),
)


def one_line(nursery: Nursery, path: Path, words: str) -> None:
    """What the child has said is one line with the file, the reason and the remedy."""
    spoken = [line for line in nursery.err.splitlines() if line.startswith("glossfree: ")]
    assert spoken == nursery.err.splitlines()[-1:], nursery.err
    assert f"{path}: cannot be written (" in spoken[0] and words in spoken[0] and " -> check free space" in spoken[0]
    assert "Traceback" not in nursery.err and nursery.out == ""


@pytest.mark.slow
@pytest.mark.parametrize("what", [LAST, WEIGHTS, LINE])
def test_a_file_that_does_not_fit_ends_the_run_and_loses_nothing(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path, what: str
) -> None:
    run = tmp_path / "run"
    command = train(tiny, run, EVERY_STEP)
    for stage in STAGES:
        last = run / f"checkpoints/{stage}.last.safetensors"
        before = Moment(f"{stage}.safetensors", "before") if what == WEIGHTS else Moment(last.name, "renamed", 2)
        assert nursery.run(*command, kill=before) == -signal.SIGKILL
        written, lines = last.read_bytes(), run / "steps.jsonl"
        path = {LAST: last, WEIGHTS: run / f"weights/{stage}.safetensors", LINE: lines}[what]
        largest = lines.stat().st_size + 25 if what == LINE else len(written) // 9
        assert nursery.run(*command, largest=largest) == 2
        one_line(nursery, path, "File too large")
        assert last.read_bytes() == written and load_tensors(last)[1]["step"] == (6 if what == WEIGHTS else 2)
        assert list(run.rglob(".*")) == []
    assert nursery.run(*command) == 0
    assert different(outcome(run, nursery), undisturbed.outcome) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(
    tiny: Any, nursery: Nursery, undisturbed: Any, small_disk: Path
) -> None:
    run, filler = small_disk / "run", small_disk / "somebody else's"
    for what, phase in FILLED:
        nursery.start(*train(tiny, run, EVERY_STEP), kill=Moment(what, phase, 3, signal.SIGSTOP))
        deadline = time.monotonic() + 60
        while psutil.Process(nursery.child).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        fill(filler)
        os.kill(nursery.child, signal.SIGCONT)
        assert nursery.wait() == 2
        assert "No space left on device" in nursery.err and "Traceback" not in nursery.err
        assert nursery.err.splitlines()[-1].startswith(f"glossfree: {run}")
        found = [path for path in run.rglob("*.safetensors") if not path.name.startswith(".")]
        assert len(found) > 0
        for path in found:
            load_tensors(path)
        filler.unlink()
    assert nursery.run(*train(tiny, run)) == 0, nursery.err
    assert different(outcome(run, nursery), undisturbed.outcome) == []


def fill(path: Path) -> None:
    """A file of all the space that is left."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, bytes(4096))
    except OSError:
        os.close(file)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_result_that_does_not_fit_is_one_line() -> None:
    command = [sys.executable, "-m", "glossfree", "recipe", "--list"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("glossfree: standard output: cannot be written (") and done.stderr.count("\n") == 1
