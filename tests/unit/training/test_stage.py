"""What the loop asks of a stage and of its batches."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import torch

from glossfree.stages import BaseStage, DenoisingStage, PretrainingStage, TranslationStage
from glossfree.training.stage import JointStage, Stage, frames_in


def test_frames_are_those_of_all_clips_together() -> None:
    assert frames_in(SimpleNamespace(lengths=torch.tensor([7, 4, 11]))) == 22


def test_every_stage_has_what_the_protocol_names() -> None:
    wanted = [name for name, _ in inspect.getmembers(Stage, inspect.isfunction) if not name.startswith("_")]
    assert sorted(wanted) == ["saved", "set_training", "trained", "weight"]
    for kind in (BaseStage, DenoisingStage, PretrainingStage, TranslationStage):
        assert [name for name in wanted if not callable(getattr(kind, name))] == []


def test_only_pre_training_compares_clips_with_each_other() -> None:
    kinds = (DenoisingStage, PretrainingStage, TranslationStage)
    joint = [name for name in ("separable", "joint", "total") if callable(getattr(JointStage, name))]
    assert [kind for kind in kinds if all(hasattr(kind, name) for name in joint)] == [PretrainingStage]
