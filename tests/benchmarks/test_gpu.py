"""All that is measured on a GPU runs on a CPU at small sizes, and its step is the loop's step."""

from __future__ import annotations

import re

import pytest
import torch
from benchmarks.full_size import fixed_batch, new_stage

from benchmarks import gpu, step
from glossfree.recipe.schema import Recipe

CPU = torch.device("cpu")


@pytest.mark.slow
def test_everything_is_printed_and_half_precision_agrees() -> None:
    text = gpu.run(gpu.TINY, gpu.SMALL)
    rows = {cells[0]: cells[1:] for line in text.splitlines() if (cells := re.split(r"\s*\|\s*", line.strip("| ")))}
    steps = [f"{stage}, {name}" for stage in gpu.STAGES.values() for name in gpu.TYPES]
    for name in steps:
        seconds, frames, *_, peak, waits = rows[name]
        # seconds are rounded to 0.001, and the rate to 1
        most, least = (16 / (float(seconds) + part) for part in (-0.00051, 0.00051))
        assert float(seconds) > 0 and least - 0.51 < float(frames.replace(",", "")) < most + 0.51
        assert float(peak) > 0 and waits == "-"
    for stage in gpu.STAGES.values():
        loss, half_loss, *cosines = map(float, rows[stage])
        assert loss != half_loss and half_loss == pytest.approx(loss, rel=0.01)
        assert all(0.99 < cosine < 1 for cosine in cosines)
    assert float(rows["1 workers, augmented"][0].replace(",", "")) > 0
    assert [*rows["1"], *rows["3"]] and all(float(each.replace(",", "")) > 0 for each in (*rows["1"], *rows["3"]))


def test_a_step_is_that_of_the_other_benchmark(small: Recipe) -> None:
    batch, losses = fixed_batch(small, [9, 7]), []
    for kind in (lambda *stage: gpu.Stepper(*stage, gpu.Precision(CPU, torch.float32)), step.Stepper):
        torch.manual_seed(0)
        stepper = kind(new_stage(small, "pretrain", batch), batch, small)
        results = [stepper.step() for _ in range(3)]
        losses.append([each["loss"] if isinstance(each, dict) else each[0] for each in results])
    assert losses[0] == losses[1] and losses[0][2] < losses[0][0]


def test_waits_are_those_that_torch_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def work() -> None:
        for _ in range(2):
            gpu.warnings.warn("called a synchronizing CUDA operation", stacklevel=1)  # type: ignore[attr-defined]
        gpu.warnings.warn("something else", stacklevel=1)  # type: ignore[attr-defined]

    assert gpu.waits_in(work, torch.device("cuda")) == "2" and modes == ["warn", "default"]
    assert gpu.waits_in(work, CPU) == "-"
