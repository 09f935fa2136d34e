"""Where a stage stands, saved and restored: resumed = uninterrupted, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.training.toys import PLAN, Loader, Toy, a_run, without_seconds

from glossfree.console import Silent
from glossfree.errors import RunError
from glossfree.training.checkpoint import Progress, load_into
from glossfree.training.loop import train
from glossfree.training.processes import Processes
from glossfree.training.run import load_tensors


@pytest.mark.parametrize("breaks_at", [(0, 2), (1, 0), (2, 1), (3, 2)])
def test_resumed_training_is_the_uninterrupted_one_to_the_last_bit(tmp_path: Path, breaks_at: tuple[int, int]) -> None:
    whole, broken = a_run(tmp_path / "whole"), a_run(tmp_path / "broken")
    expected = Toy()
    train(expected, Loader(), Loader(), PLAN, whole, Silent())
    with pytest.raises(KeyboardInterrupt):
        train(Toy(), Loader(breaks_at), Loader(), PLAN, broken, Silent())
    torch.manual_seed(99)
    found = Toy()
    progress = train(found, Loader(), Loader(), PLAN, broken, Silent())
    assert progress.epoch == 4 and progress.step == 12
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert without_seconds(broken) == without_seconds(whole)


@pytest.mark.parametrize("breaks_at", [(0, 2), (1, 0), (2, 1), (3, 2)])
def test_with_checkpoints_within_an_epoch_only_the_last_step_is_lost(
    tmp_path: Path, breaks_at: tuple[int, int]
) -> None:
    whole, broken, plan = a_run(tmp_path / "whole"), a_run(tmp_path / "broken"), replace(PLAN, checkpoint_minutes=0)
    expected = Toy()
    train(expected, Loader(), Loader(), plan, whole, Silent())
    with pytest.raises(KeyboardInterrupt):
        train(Toy(), Loader(breaks_at), Loader(), plan, broken, Silent())
    _, facts = load_tensors(broken.checkpoint("toy", "last"))
    assert (facts["epoch"], facts["position"]) == breaks_at
    torch.manual_seed(99)
    found, lines = Toy(), len(list(broken.records()))
    loader = Loader(before=breaks_at)  # nothing that was done is read again
    train(found, loader, Loader(), plan, broken, Silent())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert without_seconds(broken) == without_seconds(whole)
    assert lines == sum(breaks_at) + 3 * breaks_at[0]


def test_a_checkpoint_of_another_model_is_refused() -> None:
    with pytest.raises(RunError, match="another model"):
        load_into(Toy(), {"w": torch.ones(1)})


def test_sums_of_an_epoch_are_means_over_clips() -> None:
    progress = Progress()
    progress.add({"loss": 3.0}, 2)
    progress.add({}, 0)  # a step of which nothing could be read
    progress.add({"loss": 6.0, "other": 1.0}, 1)
    assert progress.means() == {"loss": 4.0, "other": 1 / 3}
    assert (progress.position, progress.step, progress.clips) == (3, 3, 3)
    assert progress.over(Processes()) is progress
    progress.next_epoch()
    assert (progress.epoch, progress.position, progress.step, progress.clips, progress.sums) == (1, 0, 3, 0, {})
