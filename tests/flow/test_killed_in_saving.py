"""kill -9 before, while and after each kind of file of a run is written, in every stage; what is resumed ends as if
nothing had been: weights, records, order of clips, predictions and scores, to the last bit."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import STAGES, STEPS, Moment, Nursery, different, order_of, outcome, train

from glossfree.training.run import load_tensors

PHASES = ("before", "half", "written", "renamed")


def all_phases(name: str) -> list[Moment]:
    return [Moment(name, phase) for phase in PHASES]


def at_the_start() -> list[Moment]:
    """Where there is no recipe.toml, there is no run yet: all of it is written again."""
    names = ("sentencepiece.bpe.model", "tokenizer.json", "pseudo_glosses.json", "run.json", "recipe.toml")
    return [Moment(name, phase) for name in names for phase in ("half", "renamed")]


def with_a_checkpoint_an_epoch(stage: str) -> list[Moment]:
    """Kills one after another through both epochs of a stage; what a kill undoes, the next child has before it."""
    step, last, best = f"step of {stage}", f"{stage}.last.safetensors", f"{stage}.best.safetensors"
    first_epoch = [
        *(all_phases("text_features.safetensors") if stage == "pretrain" else []),
        Moment(step, "before", 2),
        Moment("a line", "half", 2),
        Moment("steps.jsonl", "half"),  # written anew without what will come again
        Moment("steps.jsonl", "written"),
        Moment(step, "after", 3),
        *all_phases(best),
        Moment("a line", "half", 4),  # the epoch's
        *all_phases(last),
    ]
    second_epoch = [
        Moment(step, "before", 1),
        Moment("a line", "half", 1),
        Moment("a line", "after", 4),
        *(Moment(last, phase) for phase in ("half", "renamed")),
    ]
    return [
        *first_epoch,
        *second_epoch,
        *all_phases(f"{stage}.safetensors"),
        Moment(f"removal of {last}", "after"),
    ]


def with_a_checkpoint_a_step(stage: str) -> list[Moment]:
    """Steps that are saved when each of them kills: 0, 1, 1, 2, 3, 3, 4, 5, 6, 6. The text stage's second epoch is
    better than its first; of the others that is not known."""
    step, last, best = f"step of {stage}", f"{stage}.last.safetensors", f"{stage}.best.safetensors"
    return [
        Moment(last, "before"),
        Moment(last, "half", 2),
        Moment(last, "written"),
        Moment(last, "renamed"),
        Moment("a line", "half", 2),  # the epoch's
        Moment(best, "written"),
        Moment(step, "after", 2),
        Moment(step, "before", 2),
        Moment(best if stage == "denoise" else last, "renamed"),
        Moment(f"{stage}.safetensors", "half"),
    ]


CHAINS = {
    10: [*at_the_start(), *(moment for stage in STAGES for moment in with_a_checkpoint_an_epoch(stage))],
    0: [moment for stage in STAGES for moment in with_a_checkpoint_a_step(stage)],
}


def check_files(run: Path) -> None:
    """What is there under its own name is whole."""
    for path in run.rglob("*.safetensors"):
        if not path.name.startswith("."):
            load_tensors(path)
    for path in run.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("minutes", CHAINS)
def test_killed_at_every_write_and_resumed_nothing_is_different(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path, minutes: int
) -> None:
    run, seen = tmp_path / "run", tmp_path / "seen"
    command = train(tiny, run, f"training.checkpoint_minutes={minutes}")
    for moment in CHAINS[minutes]:
        code = nursery.run(*command, kill=moment, seen=seen)
        assert code == -signal.SIGKILL, f"{moment} never came: {nursery.err}"
        check_files(run)
    assert nursery.run(*command, seen=seen) == 0, nursery.err
    assert different(outcome(run, nursery), undisturbed.outcome) == []
    assert order_of(seen) == undisturbed.order
    assert len(undisturbed.order) == STEPS * len(STAGES)
    assert list((run / "checkpoints").iterdir()) == []
    assert list(run.rglob(".*")) == []
    assert not (run / "text_features.safetensors").exists()


def test_the_moments_are_many_and_in_all_stages() -> None:
    assert {minutes: len(chain) for minutes, chain in CHAINS.items()} == {10: 110, 0: 40}
