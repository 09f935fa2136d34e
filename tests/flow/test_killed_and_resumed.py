"""Training killed with SIGKILL at random moments of every stage, and resumed: nothing of what it leaves is different.

Where a file is being written is aimed at in test_killed_in_saving.py; here nobody knows what a kill will hit.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import SETTINGS, STAGES, Moment, Nursery, different, lines_of, order_of, outcome, train

from glossfree.recipe.files import load_recipe
from glossfree.training.run import load_facts

KILLS = 5  # of each seed, one in each fifth of the run


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "minutes"), [(1, 10), (2, 10), (3, 0), (4, 0)])
def test_killed_at_random_and_resumed_nothing_is_different(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path, seed: int, minutes: int
) -> None:
    chance, total = random.Random(seed), lines_of(undisturbed.run)
    run, seen, killed = tmp_path / "run", tmp_path / "seen", 0
    command = train(tiny, run, f"training.checkpoint_minutes={minutes}")
    for part in range(KILLS):
        moment = chance.randrange(total * part // KILLS, total * (part + 1) // KILLS)
        child = nursery.start(*command, seen=seen)
        deadline = time.monotonic() + 60
        while lines_of(run) < moment and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))  # also between two steps, while a file is written, between two stages
        os.kill(child, signal.SIGKILL)
        killed += nursery.wait() == -signal.SIGKILL
    assert killed >= KILLS - 1, "only the last part may be over before"
    assert nursery.run(*command, seen=seen) == 0, nursery.err
    assert different(outcome(run, nursery), undisturbed.outcome) == []
    assert order_of(seen) == undisturbed.order
    assert list(run.rglob(".*")) == list((run / "checkpoints").iterdir()) == []


@pytest.mark.slow
def test_killed_in_a_random_step_of_each_stage_nothing_is_different(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path
) -> None:
    """In its first epoch and, once resumed, in its second: there behind a checkpoint, which the third start reads."""
    chance, run, seen = random.Random(5), tmp_path / "run", tmp_path / "seen"
    for stage in STAGES:
        saved = 0  # steps that the next child does not train again
        for first in (1, 4):  # of three steps an epoch
            step, minutes = chance.randrange(first, first + 3), chance.choice((0, 10))
            moment = Moment(f"step of {stage}", chance.choice(("before", "after")), step - saved)
            command = train(tiny, run, f"training.checkpoint_minutes={minutes}")  # a run may go on with another
            assert nursery.run(*command, kill=moment, seen=seen) == -signal.SIGKILL, (moment, nursery.err)
            saved = step - 1 if minutes == 0 else saved
    assert nursery.run(*train(tiny, run), seen=seen) == 0, nursery.err
    assert different(outcome(run, nursery), undisturbed.outcome) == []
    assert order_of(seen) == undisturbed.order


def test_a_finished_run_is_not_trained_again_and_not_overwritten(tiny: Any, undisturbed: Any, call: Any) -> None:
    run = undisturbed.run
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    again = call("train", *tiny.options, *SETTINGS, "--run", run, "--resume")
    assert again.code == 0
    assert again.err.count("finished before") == 4
    refused = call("train", *tiny.options, *SETTINGS, "--run", run)
    assert (refused.code, refused.out) == (2, "")
    assert "--resume" in refused.err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")} == before


def test_one_stage_is_moved_by_sgd_and_one_keeps_its_best_score(undisturbed: Any) -> None:
    """Without which the tests of this folder would not see what becomes of either when a run is killed."""
    recipe = load_recipe(undisturbed.run / "recipe.toml")
    assert {stage.optimizer for stage in recipe.stages} == {"adamw", "sgd"}
    assert {stage.keep for stage in recipe.stages} == {"loss", "bleu4"}
    epochs = [record["dev"] for record in undisturbed.outcome["records"] if record["kind"] == "epoch"][-2:]
    best = load_facts(undisturbed.run / "weights/finetune2.safetensors")["best"]
    assert best == -max(dev["bleu4"] for dev in epochs)
    assert epochs[0]["bleu4"] >= epochs[1]["bleu4"] and epochs[0]["loss"] > epochs[1]["loss"], (
        "not the epoch of the loss"
    )


def test_comparing_runs_sees_the_smallest_difference(undisturbed: Any) -> None:
    name = next(name for name in undisturbed.outcome if name.startswith("finetune2/"))
    other = {**undisturbed.outcome, name: "another hash", "records": undisturbed.outcome["records"][:-1]}
    assert different(other, undisturbed.outcome) == sorted([name, "records"])
    assert sum(name.split("/")[0] in STAGES for name in other) > 200
    assert {"scores.dev.json", "scores.test.json", "predictions.dev.jsonl", "predictions.test.jsonl"} <= other.keys()
