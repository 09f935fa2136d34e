"""Switching a saving off costs work and changes nothing else: the same loss, the same gradients."""

from __future__ import annotations

import pytest
import torch
from benchmarks.ablation import SAVINGS, stepper
from benchmarks.attention import dense_attention
from benchmarks.flops import Flops
from benchmarks.full_size import fixed_batch
from benchmarks.step import Stepper

from glossfree.models import adapters, packed
from glossfree.models.temporal import local_attention
from glossfree.recipe.schema import Recipe

LENGTHS = [9, 9]
NAME = "local_attention"  # of the function in the temporal encoder's module


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Savings that are switched off for a whole process."""
    for owner, name in ((local_attention, NAME), (packed, "can_pack"), (adapters.Lora, "_is_one_function")):
        monkeypatch.setattr(owner, name, vars(owner)[name])
    monkeypatch.setattr(packed, "SMALLEST", 1)


def outcome(stepper: Stepper) -> tuple[float, dict[str, torch.Tensor], Flops]:
    """Loss and gradients without dropout, and the operations of a step; no adapter starts as nothing."""
    source = torch.Generator().manual_seed(3)
    for name, weight in stepper.stage.trained().items():
        if "lora_B" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=source) / 10)
    stepper.stage.eval()
    loss = stepper.stage(stepper.batch)["loss"]
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in stepper.stage.trained().items() if p.grad is not None}
    return float(loss.detach()), gradients, stepper.counted()


@pytest.mark.parametrize("name", SAVINGS)
def test_the_loss_and_its_gradients_stay(small: Recipe, name: str) -> None:
    batch = fixed_batch(small, LENGTHS)
    usual_loss, usual, usual_flops = outcome(stepper(small, batch))
    loss, gradients, flops = outcome(stepper(small, batch, name))
    assert loss == pytest.approx(usual_loss, rel=1e-5)
    assert list(gradients) == list(usual)
    assert len(usual) > 40
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, usual[key], rtol=1e-3, atol=1e-5)
    more = (flops.forward / usual_flops.forward, flops.backward / usual_flops.backward)
    least = {"text": (1.01, 1), "frozen": (1, 1.2), "rows": (1.1, 1.2), "window": (0, 0)}.get(name, (1, 1))
    assert more[0] >= least[0] and more[1] >= least[1]


def test_all_frames_go_through_the_vit_at_once_where_they_are_told_to(small: Recipe) -> None:
    batch, passes = fixed_batch(small, LENGTHS), []
    for name in (None, "passes"):
        visual = stepper(small, batch, name).stage.model.hierarchy.visual
        visual.backbone.register_forward_pre_hook(lambda _, images: passes.append(len(images[0])))
        visual(batch.frames)
    assert passes == [8, 8, 2, 18]


def test_the_temporal_encoder_runs_dense_where_it_is_told_to(small: Recipe) -> None:
    usual = vars(local_attention)[NAME]
    stepper(small, fixed_batch(small, LENGTHS), "window")
    assert vars(local_attention)[NAME] is dense_attention is not usual
