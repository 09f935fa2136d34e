"""A finished run that goes on, with more epochs of its last stage or with a stage behind it, killed and resumed on the
way: nothing is different from one that goes on in peace."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import STAGES, Moment, Nursery, different, hashes, outcome, records, train

from glossfree.training.run import load_facts

# the last stage of a run, and whether an epoch behind its first two is better than those
LAST = {"pretrain": True, "finetune1": True, "finetune2": False}


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


def test_a_run_does_not_go_on_with_anything_else(tiny: Any, nursery: Nursery, undisturbed: Any) -> None:
    """Fewer epochs, more of an earlier stage, another learning rate."""
    before = (undisturbed.run / "recipe.toml").read_bytes()
    for change in ("finetune2.epochs=1", "finetune1.epochs=4", "finetune2.learning_rate=1e-4"):
        assert nursery.run(*train(tiny, undisturbed.run, change)) == 2
        line = nursery.err.splitlines()[-1]
        assert "was started with another recipe" in line and change.split("=")[0] in line
        assert (undisturbed.run / "recipe.toml").read_bytes() == before
