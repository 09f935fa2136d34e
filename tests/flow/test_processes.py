"""Two processes and one, at the same global batch: the same losses and weights; decoding takes each clip once.

The processes meet over gloo, as `torchrun` and `accelerate launch` start them: by environment variables.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.flow.nursery import STAGES, Nursery, options

DROPOUTS = ("temporal.dropout", "temporal.drop_path", "language.dropout", "vision.adapter_dropout",
            "language.adapter_dropout", "decoder.adapter_dropout",
            "pretrain.objectives.pseudo_gloss.dropout")  # fmt: skip
# a mean over clips, one over tokens, and one that compares all clips of a step
SEVERAL = (
    "finetune2.objectives.pseudo_gloss={dropout = 0}",
    "finetune2.objectives.contrastive={weight = 0.5, token = false}",
)
LOSSES = {"loss", "contrastive", "pseudo_gloss", "translation"}
# a key's bias shifts all scores of a query alike; BatchNorm takes away the bias before it, and remembers it in its mean
WITHOUT_EFFECT = ("k_proj.bias", "visual.projection.bias", "visual.norm.running_mean")
# at least 20 steps of each stage: 12 clips in batches of 5 are 3 steps an epoch
LONG = [f"{stage}.epochs=7" for stage in STAGES]
# the paper's learning rate: at the tiny recipe's 3e-3 Adam makes more of rounding than of many a gradient
RATE = [f"{stage}.learning_rate=6e-4" for stage in STAGES]
WITHOUT_CHANCE = [*(f"{name}=0" for name in DROPOUTS), *LONG, *RATE, *SEVERAL]


def free_port() -> int:
    """A port below those that the system gives to whoever asks for any: it is bound seconds later."""
    for port in random.SystemRandom().choices(range(20_000, 32_000), k=100):
        with socket.socket() as tried, suppress(OSError):  # it is taken
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def start(nursery: Nursery, size: int, *arguments: object) -> list[int]:
    """The same command in `size` processes -> their ids."""
    meeting = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), **meeting} for rank in range(size)]
    return [nursery.start(*arguments, environment=rank if size > 1 else {}) for rank in ranks]


def together(nursery: Nursery, size: int, *arguments: object) -> list[tuple[int, str, str]]:
    """The same command in `size` processes -> exit code, standard output and standard error of each."""
    children = start(nursery, size, *arguments)
    return [(nursery.wait(child), nursery.said(child, "out"), nursery.said(child, "err")) for child in children]


def train(nursery: Nursery, tiny: Any, run: Path, size: int, *overrides: str) -> None:
    for code, _, err in together(nursery, size, "train", *tiny.options, "--run", run, *options(*overrides)):
        assert code == 0, err


def steps(run: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "step"]


def distance(one: Path, other: Path, stage: str) -> float:
    """|a - b| / |a| over all weights that a stage leaves, but for those that no loss depends on: their gradient is
    rounding, which Adam takes for a gradient."""
    a, b = (load_file(run / f"weights/{stage}.safetensors") for run in (one, other))
    assert a.keys() == b.keys()
    names = [name for name in a if not name.endswith(WITHOUT_EFFECT)]
    assert len(names) > 0.8 * len(a)
    flat = [torch.cat([tensors[name].double().flatten() for name in names]) for tensors in (a, b)]
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


@pytest.fixture(scope="module")
def alone(nursery: Nursery, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, all stages, without dropout."""
    run = tmp_path_factory.mktemp("alone") / "run"
    train(nursery, tiny, run, 1, *WITHOUT_CHANCE)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_and_one_train_the_same(
    nursery: Nursery, tiny: Any, alone: Path, tmp_path: Path, stage: str
) -> None:
    """Over 21 steps of each stage, from the same start; the dropouts off."""
    run = tmp_path / "run"
    shutil.copytree(alone, run)
    for later in STAGES[STAGES.index(stage) :]:
        (run / f"weights/{later}.safetensors").unlink()
    lines = [line for line in (run / "steps.jsonl").read_text().splitlines() if json.loads(line)["stage"] != stage]
    (run / "steps.jsonl").write_text("".join(f"{line}\n" for line in lines))
    given = (*tiny.options, "--run", run, *options(*WITHOUT_CHANCE), "--resume", "--until", stage)
    for code, _, err in together(nursery, 2, "train", *given):
        assert code == 0, err
    one, two = ([record for record in steps(each) if record["stage"] == stage] for each in (alone, run))
    two.sort(key=lambda record: record["step"])
    assert len(one) == len(two) >= 20
    for mine, theirs in zip(one, two, strict=True):
        assert (mine["step"], mine["frames"]) == (theirs["step"], theirs["frames"])
        assert mine.keys() == theirs.keys()
        for name in mine.keys() & LOSSES:
            assert theirs[name] == pytest.approx(mine[name], rel=1e-4), (mine, theirs)
    assert distance(alone, run, stage) < 1e-4


@pytest.mark.slow
def test_each_process_reads_its_share_of_a_step_in_batches(
    nursery: Nursery, tiny: Any, alone: Path, tmp_path: Path
) -> None:
    """With a limit on frames, one process needs more batches than each of two: BatchNorm, whose statistics those of a
    batch are, trains nowhere here; the losses are the same."""
    frozen = [*WITHOUT_CHANCE, "data.max_frames_per_batch=30", "pretrain.epochs=0", "finetune2.epochs=0"]
    for size in (1, 2):
        train(nursery, tiny, tmp_path / str(size), size, *frozen)
    one, two = steps(tmp_path / "1"), steps(tmp_path / "2")
    assert len(one) == len(two) > 40
    for mine, theirs in zip(one, two, strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-4), (mine, theirs)


@pytest.mark.slow
def test_two_processes_decode_every_clip_once(nursery: Nursery, tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    expected = {name: (run / name).read_text() for name in ("predictions.test.jsonl", "scores.test.json")}
    for name in expected:
        (run / name).unlink()
    first, second = together(nursery, 2, "evaluate", run, "--split", "test", "--json")
    assert (first[0], second[0], second[1]) == (0, 0, ""), "only the first process speaks"
    assert json.loads(first[1])["num_sentences"] == 5
    found = [json.loads(line) for line in (run / "predictions.test.jsonl").read_text().splitlines()]
    wanted = [json.loads(line) for line in expected["predictions.test.jsonl"].splitlines()]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.pop("score") == pytest.approx(theirs.pop("score"), rel=1e-5)
        assert mine == theirs
    assert (run / "scores.test.json").read_text() == expected["scores.test.json"]


@pytest.mark.slow
def test_one_of_two_processes_asked_to_stop_stops_both_and_they_go_on(
    nursery: Nursery, tiny: Any, tmp_path: Path
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    longer = [f"{stage}.epochs={9 if stage == 'pretrain' else 3}" for stage in STAGES]  # of 3 steps
    train(nursery, tiny, whole, 2, *longer)
    arguments = ("train", *tiny.options, "--run", run, *options(*longer))
    first, second = start(nursery, 2, *arguments)
    deadline = time.monotonic() + 120
    while not (run / "steps.jsonl").exists() or len(steps(run)) < 11:  # not between two stages
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(second, signal.SIGTERM)
    assert [nursery.wait(child) for child in (first, second)] == [128 + signal.SIGTERM] * 2, nursery.err
    assert "stopped and saved at step" in nursery.said(first, "err")
    for code, _, err in together(nursery, 2, *arguments, "--resume"):
        assert code == 0, err
    for stage in STAGES:
        assert distance(whole, run, stage) == 0, stage
