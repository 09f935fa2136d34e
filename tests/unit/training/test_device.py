"""Where this process computes, and how many frames suit it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glossfree.pipeline.assemble import visual_encoder
from glossfree.recipe.files import load_recipe
from glossfree.training import device
from glossfree.training.device import (
    FRAMES_PER_PASS,
    best_device,
    forget_peak,
    frames_per_pass,
    held_memory,
    peak_memory,
)


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


def test_a_peak_is_what_was_held_at_most() -> None:
    if torch.cuda.is_available():
        pytest.skip("counts an accelerator's memory there")
    before, held = peak_memory(), held_memory()
    assert 20e6 < held <= before + 5_000_000
    block = np.ones(before - held + 200_000_000, dtype=np.uint8)
    assert held_memory() > before
    with_block = peak_memory()
    assert with_block >= before + 150_000_000
    del block
    assert held_memory() < with_block - 150_000_000
    forget_peak()
    assert peak_memory() >= with_block - 5_000_000, "on a CPU it cannot be forgotten"


def test_of_an_accelerator_its_own_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 71)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 53)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: calls.append("reset"))
    forget_peak()
    assert (peak_memory(), held_memory(), calls) == (71, 53, ["reset"])


def test_where_nothing_is_known_of_memory_it_is_0(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "PROCESS", tmp_path)
    assert held_memory() == 0
