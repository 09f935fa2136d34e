"""Where this process computes, and how many frames suit it."""

from __future__ import annotations

import pytest
import torch

from glossfree.pipeline.assemble import visual_encoder
from glossfree.recipe.files import load_recipe
from glossfree.training.device import FRAMES_PER_PASS, best_device, frames_per_pass


def test_an_accelerator_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert best_device().type == expected


def test_an_accelerator_takes_more_frames_at_once() -> None:
    assert 0 < frames_per_pass(torch.device("cpu")) < frames_per_pass(torch.device("cuda", 1))


@pytest.mark.parametrize(("backbone", "expected"), [("dinov2", FRAMES_PER_PASS["cpu"]), ("convnet", 0)])
def test_only_backbones_without_statistics_over_frames_see_them_in_passes(
    monkeypatch: pytest.MonkeyPatch, backbone: str, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = load_recipe("demo", [f"vision.kind={backbone}"])
    assert visual_encoder(recipe).frames_per_pass == expected
