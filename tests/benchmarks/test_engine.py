"""What is measured of the engine is what training does: its checkpoint, its loop, its processes."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest
import torch
from benchmarks.full_size import fixed_batch, new_stage
from benchmarks.step import STAGES

from benchmarks import engine
from glossfree.recipe.schema import Recipe
from glossfree.training.run import Run, load_tensors


@pytest.mark.parametrize("name", STAGES)
def test_a_checkpoint_holds_what_trains_and_twice_that_of_the_optimiser(
    small: Recipe, tmp_path: Path, name: str
) -> None:
    stage = new_stage(small, name, fixed_batch(small, [9, 7]))
    cost = engine.checkpoint_cost(stage, tmp_path, times=1)
    held = sum(tensor.nbytes for tensor in stage.saved().values())
    optimizer = 2 * sum(tensor.nbytes for tensor in stage.trained().values())
    names = 100 * len(load_tensors(Run(tmp_path).checkpoint(name, "last"))[0])  # at most 200 bytes each
    assert 0 < cost.megabytes * 1e6 - held - optimizer < 2 * names
    assert set(cost.seconds) == set(engine.WAYS) and all(second > 0 for second in cost.seconds.values())
    whole = engine.weights_cost(stage, tmp_path, times=1)
    assert whole.megabytes * 1e6 > sum(tensor.nbytes for tensor in stage.result().values())


def test_the_loop_and_the_bare_step_take_turns_and_do_the_same(small: Recipe, tmp_path: Path) -> None:
    batch = fixed_batch(small, [9, 7])
    found = engine.loop_cost(small, batch, 6, tmp_path, warm_up=2)
    assert found["bare"] > 0 and found["loop"] > 0
    assert len([record for record in Run(tmp_path).records() if record["kind"] == "step"]) == 8


def test_a_bare_step_that_takes_longer_is_seen(small: Recipe, tmp_path: Path) -> None:
    """Each side is timed on its own: what the other does is not in it."""
    loader = engine.Alternating(fixed_batch(small, [9]), 3, lambda: torch.randn(10**6).sort())
    for _ in loader.steps():
        pass
    assert len(loader.seconds["bare"]) == len(loader.seconds["loop"]) == 3
    assert median(loader.seconds["bare"]) > 10 * median(loader.seconds["loop"])


def test_shares_of_a_batch_are_all_of_it(small: Recipe) -> None:
    batch = fixed_batch(small, [5, 9, 7])
    shares = [engine.share_of(batch, rank, 2) for rank in (0, 1)]
    assert [share.ids for share in shares] == [("clip 0", "clip 2"), ("clip 1",)]
    assert [share.lengths.tolist() for share in shares] == [[5, 7], [9]]
    frames = torch.split(batch.frames, [5, 9, 7])
    assert torch.equal(shares[0].frames, torch.cat([frames[0], frames[2]])) and torch.equal(shares[1].frames, frames[1])
    assert shares[1].labels is not None and batch.labels is not None
    assert torch.equal(shares[1].labels, batch.labels[1:2])
    assert list(batch.targets) == ["pseudo_glosses"]
    for share, rows in zip(shares, ([0, 2], [1]), strict=True):
        assert torch.equal(share.targets["pseudo_glosses"], batch.targets["pseudo_glosses"][rows])


def test_a_batch_of_frames_that_are_not_made_of_blocks(small: Recipe) -> None:
    odd = small.model_copy(update={"data": small.data.model_copy(update={"crop_size": 36})})
    batch = engine.small_batch(odd, [3, 4])
    assert batch.frames.shape == (7, 3, 36, 36) and batch.frames.float().std() > 10
    assert new_stage(odd, "pretrain", batch)(batch)["loss"].isfinite()


@pytest.mark.slow
def test_a_team_of_two_trains_together(tmp_path: Path) -> None:
    with engine.Team(2, 1, tmp_path, steps=2) as team:
        answers = [team.once() for _ in range(2)]
    assert all(answer["rate"] > 0 for answer in answers)
    records = list(Run(tmp_path / "1").records())
    assert [record["frames"] for record in records if record["kind"] == "step"] == [sum(engine.LENGTHS)] * 5
