"""Training killed with SIGKILL at random moments of every stage, and resumed: the weights are those of a run in peace.

The command line runs in children of a process that has imported everything and started no thread yet: a fork costs
milliseconds where a start costs seconds, and what is killed is a whole process all the same.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

NURSERY = """
import json, os, sys
import glossfree.commands.train, glossfree.cli
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        try:
            glossfree.cli.main(json.loads(line))
        except SystemExit as ended:
            os._exit(ended.code or 0)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
STAGES = ("denoise", "pretrain", "finetune1", "finetune2")
EPOCHS = ("--set", "denoise.epochs=2", "--set", "pretrain.epochs=2", "--set", "finetune1.epochs=2")


class Nursery:
    """Starts the command line in forked children, one at a time."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", NURSERY]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, *arguments: object) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def steps(run: Path) -> int:
    try:
        return (run / "steps.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {f"{stage}/{k}": t for stage in STAGES for k, t in load_file(run / f"weights/{stage}.safetensors").items()}


def records(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "waited")} for line in lines]


@pytest.fixture(scope="module")
def whole(tiny: Any, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody disturbs."""
    run = tmp_path_factory.mktemp("whole") / "run"
    nursery.start("train", *tiny.options, *EPOCHS, "--run", run)
    assert nursery.wait() == 0
    return run


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_in_several_stages_and_resumed_the_weights_are_the_same_to_the_last_bit(
    tiny: Any, nursery: Nursery, whole: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    total = steps(whole)
    moments = sorted(chance.randrange(total * i // 3, total * (i + 1) // 3) for i in range(3))
    run, killed = tmp_path / "run", 0
    for moment in moments:
        child = nursery.start("train", *tiny.options, *EPOCHS, "--run", run, "--resume")
        deadline = time.monotonic() + 60
        while steps(run) < moment and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))  # also between two steps, while a file is written, between two stages
        os.kill(child, signal.SIGKILL)
        killed += nursery.wait() == -signal.SIGKILL
    assert killed >= 2
    nursery.start("train", *tiny.options, *EPOCHS, "--run", run, "--resume")
    assert nursery.wait() == 0
    expected, found = weights(whole), weights(run)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert records(run) == records(whole)
    assert list(run.rglob(".*.tmp")) == list((run / "checkpoints").iterdir()) == []


def test_a_finished_run_is_not_trained_again_and_not_overwritten(tiny: Any, whole: Path, call: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    again = call("train", *tiny.options, *EPOCHS, "--run", whole, "--resume")
    assert again.code == 0
    assert again.err.count("finished before") == 4
    refused = call("train", *tiny.options, *EPOCHS, "--run", whole)
    assert (refused.code, refused.out) == (2, "")
    assert "--resume" in refused.err
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")} == before
