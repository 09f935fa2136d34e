"""One cell: what it runs, what becomes of errors, one process at a time in a folder, and stopping it.

Instead of glossfree a few lines of Python run, which start in no time and do as they are told.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glossfree.cli import cell_run as module
from glossfree.cli.cell_run import CellRun, launcher, place, problem_in
from glossfree.errors import Interrupted, RunError
from glossfree.recipe.files import load_recipe
from glossfree.scoring.metrics import score

STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path
verb, run = sys.argv[1], Path(sys.argv[sys.argv.index("--run") + 1] if "--run" in sys.argv else sys.argv[2])
does = (run.parent / "does").read_text()
with (run / "calls").open("a") as calls:
    calls.write(verb + "\\n")
if does == verb + " is wrong":
    sys.exit("a line\\nglossfree: clip x: is odd -> mend it\\nnot the last word")
if does == verb + " crashes":
    raise MemoryError("CUDA out of memory")
if does == verb + " dies":
    print("half an epoch", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
def saves(*_):
    (run / "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, saves)
if does == verb + " is slow":
    (run / "begun").touch()
    for _ in range(1000):
        time.sleep(0.02)
        if (run / "go").exists():
            break
if verb == "train":
    (run / "weights").mkdir(exist_ok=True)
    (run / "weights/finetune2.safetensors").touch()
else:
    split = sys.argv[sys.argv.index("--split") + 1]
    (run / f"scores.{split}.json").write_text((run.parent / "scores.json").read_text())
"""


class Place:
    """A folder with a cell, and what the stand-in is to do."""

    def __init__(self, folder: Path, recipe: Path) -> None:
        self.run = folder / "seed=0"
        self.does("its work")
        (folder / "scores.json").write_text(json.dumps(score(["es taut"], ["es taut"]).to_dict()))
        self.cell().prepare(load_recipe(recipe))

    def does(self, text: str) -> None:
        (self.run.parent / "does").write_text(text)

    def cell(self, *splits: str) -> CellRun:
        return CellRun(self.run, self.run.parent / "corpus", splits or ("dev",))

    def calls(self) -> list[str]:
        return (self.run / "calls").read_text().split()


@pytest.fixture
def cell(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(module, "launcher", lambda processes: [sys.executable, str(script)])
    monkeypatch.setattr(module, "POLL", 0.01)
    return Place(tmp_path, tiny.recipe)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def test_it_trains_scores_and_is_done(cell: Place) -> None:
    assert cell.cell().outcome() == {"state": "waiting"}
    found = cell.cell()()
    assert found["state"] == "done" and found["scores"]["dev"]["bleu1"] == pytest.approx(100)
    assert cell.calls() == ["train", "evaluate"]
    assert cell.cell()() == found == cell.cell().outcome() and len(cell.calls()) == 2
    said = (cell.run / "log.txt").read_text()
    assert said.count("$ glossfree train --recipe ") == 1 and "--resume" in said


def test_a_split_that_is_wanted_later_is_scored_without_training(cell: Place) -> None:
    cell.cell()()
    assert cell.cell("dev", "test").outcome() == {"state": "waiting"}
    assert set(cell.cell("dev", "test")()["scores"]) == {"dev", "test"}
    assert cell.calls() == ["train", "evaluate", "evaluate", "evaluate"]


@pytest.mark.parametrize(
    ("does", "words", "calls"),
    [
        ("train is wrong", "train: clip x: is odd -> mend it (exit code 1; see ", ["train"]),
        ("train crashes", "train: MemoryError: CUDA out of memory (exit code 1; see ", ["train"]),
        ("evaluate dies", "evaluate: ended by SIGKILL, after: half an epoch (see ", ["train", "evaluate"]),
    ],
)
def test_what_goes_wrong_is_told_and_tried_again(cell: Place, does: str, words: str, calls: list[str]) -> None:
    cell.does(does)
    found = cell.cell()()
    assert found["state"] == "failed" and found["problem"].startswith(words), found
    assert found["problem"].endswith("log.txt)") and cell.calls() == calls
    assert cell.cell().outcome() == found
    cell.does("its work")
    assert cell.cell()()["state"] == "done"
    assert cell.calls() == [*calls, *(["train"] if "train" in does else []), "evaluate"]


def test_asked_to_stop_it_passes_that_on_and_waits(cell: Place) -> None:
    cell.does("train is slow")
    asked: Callable[[], Any] = lambda: signal.SIGINT if (cell.run / "begun").exists() else None  # noqa: E731
    with pytest.raises(Interrupted, match="--resume goes on") as stopped:
        cell.cell()(asked)
    assert stopped.value.signal == signal.SIGINT and (cell.run / "saved").exists()
    assert cell.cell().outcome() == {"state": "waiting"} and not cell.cell().is_locked()


def test_two_in_one_folder_wait_for_each_other(cell: Place) -> None:
    cell.does("train is slow")
    notes: list[str] = []
    first = threading.Thread(target=cell.cell())
    first.start()
    wait_for(cell.run / "begun")
    assert cell.cell().is_locked()
    with pytest.raises(Interrupted):
        cell.cell()(lambda: signal.SIGTERM if notes else None, notes.append)
    assert "waits for a process" in notes[0] and not (cell.run / "saved").exists()
    threading.Timer(0.2, (cell.run / "go").touch).start()
    assert cell.cell()()["state"] == "done"
    first.join(timeout=30)
    assert cell.calls() == ["train", "evaluate"] and not cell.cell().is_locked()


def test_a_command_outlives_its_sweep_and_keeps_the_folder(cell: Place) -> None:
    """The lock is the child's, too: a sweep that was killed leaves it behind."""
    cell.does("train is slow")
    child = os.fork()
    if child == 0:
        try:
            cell.cell()()
        finally:
            os._exit(0)
    wait_for(cell.run / "begun")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert cell.cell().is_locked()
    (cell.run / "go").touch()
    assert cell.cell()()["state"] == "done" and cell.calls() == ["train", "evaluate"]


def test_a_signal_of_the_cluster_does_not_reach_the_training(cell: Place) -> None:
    cell.does("train is slow")
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    try:
        running = cell.cell()

        def stopping() -> None:
            if (cell.run / "begun").exists() and running.child and not heard:
                os.kill(running.child.pid, signal.SIGUSR2)
                os.kill(os.getpid(), signal.SIGUSR2)
                (cell.run / "go").touch()

        assert running(stopping)["state"] == "done" and heard == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        CellRun(tmp_path / "file/cell", tmp_path, ("dev",))()


def test_several_processes_are_started_by_torchrun() -> None:
    assert launcher(1) == [sys.executable, "-m", "glossfree"]
    assert launcher(3)[1:] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3", "-m", "--", "glossfree")
    ]


def test_the_error_is_found_in_what_torchrun_says(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("glossfree: an old one\n")
    begun = log.stat().st_size
    with log.open("a") as file:
        file.write("[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried\nTraceback (most recent call last):\n")
        file.write("torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n=====\n")
    assert problem_in(log, begun, 1).startswith("[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried (exit code")
    log.write_text("")
    assert problem_in(log, 0, 5) == f"exit code 5, after: nothing (see {log})"


def test_where_a_run_stands(tmp_path: Path) -> None:
    assert place(tmp_path) == "train"
    (tmp_path / "steps.jsonl").write_text('{"stage": "pretrain", "step": 7}\n')
    assert place(tmp_path) == "pretrain step 7"
    (tmp_path / "steps.jsonl").write_text('{"stage": "pretrain", "st')
    assert place(tmp_path) == "train"
