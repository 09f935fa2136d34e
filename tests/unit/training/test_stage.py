"""What the loop asks of a stage and of its batches."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from tests.unit.training.toys import Growing, Toy
from torch import nn

from glossfree.pipeline.stages import TrainingStage
from glossfree.training.stage import Stage, frames_in


def test_frames_are_those_of_all_clips_together() -> None:
    assert frames_in(SimpleNamespace(lengths=torch.tensor([7, 4, 11]))) == 22


@pytest.mark.parametrize("kind", [TrainingStage, Toy, Growing])
def test_a_stage_has_what_the_protocol_names(kind: type[nn.Module]) -> None:
    wanted = [name for name, _ in inspect.getmembers(Stage, inspect.isfunction) if not name.startswith("_")]
    assert sorted(wanted) == ["joint", "part_of", "saved", "separable", "set_training", "total", "trained", "units"]
    for name in wanted:
        asked, offered = (list(inspect.signature(getattr(each, name)).parameters) for each in (Stage, kind))
        assert asked == offered, name
    assert hasattr(kind, "compares_clips")
