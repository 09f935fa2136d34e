"""A finished run that goes on, with more epochs of its last stage or with a stage behind it, killed and resumed on the
way: nothing is different from one that goes on in peace."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import STAGES, Moment, Nursery, different, hashes, outcome, records, train

from glossfree.training.run import load_facts, load_tensors

# the last stage of a run, and whether an epoch behind its first two is better than those
LAST = {"finetune1": True, "finetune2": False}


def without(stages: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{stage}.epochs=0" for stage in stages)


def state(run: Path) -> dict[str, Any]:
    """Hashes of all weights that the stages have left, and the records without times."""
    files = sorted((run / "weights").glob("*.safetensors"))
    weights = {f"{path.stem}/{name}": value for path in files for name, value in hashes(run, path.stem).items()}
    return {**weights, "records": records(run)}


def moments(stage: str) -> list[Moment]:
    """Where it is killed, one after another, in epochs 3 and 4."""
    step, last, weights = f"step of {stage}", f"{stage}.last.safetensors", f"{stage}.safetensors"
    return [
        Moment(step, "before", 2),
        Moment("a line", "half", 2),
        Moment(last, "half"),
        Moment(last, "renamed"),
        Moment(step, "after", 2),
        Moment(weights, "before"),
        Moment(weights, "half"),
        Moment(weights, "renamed"),
        Moment(f"removal of {last}", "after"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("stage", LAST)
def test_more_epochs_killed_and_resumed_nothing_is_different(
    tiny: Any, nursery: Nursery, tmp_path: Path, stage: str
) -> None:
    left_out = without(STAGES[STAGES.index(stage) + 1 :])
    calm, run = tmp_path / "calm", tmp_path / "run"
    assert nursery.run(*train(tiny, calm, *left_out)) == 0, nursery.err
    shutil.copytree(calm, run)
    short = state(calm)

    assert nursery.run(*train(tiny, calm, *left_out, f"{stage}.epochs=4")) == 0, nursery.err
    longer = state(calm)
    assert longer["records"][: len(short["records"])] == short["records"]
    added = [record for record in longer["records"] if record not in short["records"]]
    assert {record["stage"] for record in added} == {stage} and added[-1]["epoch"] == 3
    changed = {name.split("/")[0] for name in different(longer, short)}
    assert changed == {"records", *([stage] if LAST[stage] else [])}
    assert load_facts(calm / f"weights/{stage}.safetensors")["epochs"] == 4

    command = train(tiny, run, *left_out, f"{stage}.epochs=4")
    for moment in moments(stage):
        assert nursery.run(*command, kill=moment) == -signal.SIGKILL, f"{moment} never came: {nursery.err}"
    for _ in range(2):
        assert nursery.run(*command) == 0, nursery.err
        assert different(state(run), longer) == []
    assert list((run / "checkpoints").iterdir()) == []


def test_more_epochs_begin_with_all_that_the_others_have_left(tiny: Any, nursery: Nursery, tmp_path: Path) -> None:
    """Also what objectives have learnt: Adam's first step moves no value further than the learning rate."""
    run, left_out = tmp_path / "run", without(("denoise", *STAGES[2:]))
    assert nursery.run(*train(tiny, run, *left_out)) == 0, nursery.err
    before, _ = load_tensors(run / "weights/pretrain.safetensors")
    more = ("pretrain.epochs=4", "training.checkpoint_minutes=0")
    kill = Moment("pretrain.last.safetensors", "renamed")
    assert nursery.run(*train(tiny, run, *left_out, *more), kill=kill) == -signal.SIGKILL, nursery.err
    after, facts = load_tensors(run / "checkpoints/pretrain.last.safetensors")
    assert (facts["epoch"], facts["step"]) == (2, 7)
    moved = {}
    for name in before:
        tensor = after.get(f"weights.{name}", after.get(f"weights.model.{name}"))
        if tensor is not None and tensor.is_floating_point() and not name.endswith(("running_mean", "running_var")):
            moved[name] = float((tensor - before[name]).abs().max())
    assert sum(name.startswith("objectives.") for name in moved) >= 5
    assert len(moved) > 40 and 0 < max(moved.values()) < 1.1 * 1.2e-4, "the rate of a first step is 1/25 of 3e-3"


@pytest.mark.slow
def test_a_stage_behind_killed_and_resumed_nothing_is_different(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path
) -> None:
    """What the first three stages and then the last one leave is what all four leave in one go."""
    run = tmp_path / "run"
    assert nursery.run(*train(tiny, run, *without(STAGES[3:]))) == 0, nursery.err
    for moment in moments("finetune2")[:6]:
        assert nursery.run(*train(tiny, run), kill=moment) == -signal.SIGKILL, f"{moment} never came: {nursery.err}"
    assert nursery.run(*train(tiny, run)) == 0, nursery.err
    assert different(outcome(run, nursery), undisturbed.outcome) == []


@pytest.mark.slow
def test_started_from_another_run_killed_and_resumed_without_naming_it(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path
) -> None:
    first, run = tmp_path / "first", tmp_path / "run"
    assert nursery.run(*train(tiny, first), "--until", "pretrain") == 0, nursery.err
    start = (*train(tiny, run), "--from", first)
    assert nursery.run(*start, kill=Moment("step of finetune1", "after", 5)) == -signal.SIGKILL, nursery.err
    assert nursery.run(*train(tiny, run), kill=Moment("step of finetune2", "after", 5)) == -signal.SIGKILL
    assert nursery.run(*train(tiny, run)) == 0, nursery.err
    assert sorted(path.stem for path in (run / "weights").iterdir()) == ["finetune1", "finetune2"]
    for stage in ("finetune1", "finetune2"):
        expected = {name: undisturbed.outcome[f"{stage}/{name}"] for name in hashes(run, stage)}
        assert different(hashes(run, stage), expected) == []
    assert nursery.run("evaluate", run) == 0 == nursery.run("export", run, tmp_path / "model"), nursery.err

    third = tmp_path / "third"  # from a run that has taken stages itself
    assert nursery.run(*train(tiny, third), "--from", run, "--after", "finetune1") == 0, nursery.err
    assert [path.stem for path in (third / "weights").iterdir()] == ["finetune2"]
    assert different(hashes(third, "finetune2"), hashes(run, "finetune2")) == []
    assert nursery.run("export", third, tmp_path / "another") == 0, nursery.err


def test_a_run_does_not_go_on_with_anything_else(tiny: Any, nursery: Nursery, undisturbed: Any) -> None:
    """Fewer epochs, more of an earlier stage, another learning rate."""
    before = (undisturbed.run / "recipe.toml").read_bytes()
    for change in ("finetune2.epochs=1", "finetune1.epochs=4", "finetune2.learning_rate=1e-4"):
        assert nursery.run(*train(tiny, undisturbed.run, change)) == 2
        line = nursery.err.splitlines()[-1]
        assert "was started with another recipe" in line and change.split("=")[0] in line
        assert (undisturbed.run / "recipe.toml").read_bytes() == before
