"""The measured step is the loop's step, its floor is plain arithmetic, and the table says so."""

from __future__ import annotations

import re

import pytest
import torch
from benchmarks.flops import Flops, pretraining_flops, translation_flops
from benchmarks.full_size import fixed_batch, new_stage

from benchmarks import step
from glossfree.recipe.schema import Recipe


@pytest.mark.parametrize("name", step.STAGES)
def test_a_step_learns_and_names_its_parts(small: Recipe, name: str) -> None:
    batch = fixed_batch(small, [9, 7])
    stepper = step.Stepper(new_stage(small, name, batch), batch, small)
    before = [weight.detach().clone() for weight in stepper.weights]
    found = [stepper.step() for _ in range(12)]
    assert found[-1]["loss"] < found[0]["loss"]
    assert all(sum(each[part] for part in step.PARTS) == pytest.approx(each["seconds"]) for each in found)
    assert not any(torch.equal(old, new) for old, new in zip(before, stepper.weights, strict=True))


def test_a_step_is_in_the_precision_of_the_recipe(small: Recipe) -> None:
    batch = fixed_batch(small, [9, 7])
    for precision, kind in (("auto", torch.float32), ("bf16", torch.bfloat16)):
        recipe = small.model_copy(update={"training": small.training.model_copy(update={"precision": precision})})
        stepper, found = step.Stepper(new_stage(recipe, "pretrain", batch), batch, recipe), []
        mlp = stepper.stage.parts()["vision"].get_submodule("backbone.model.encoder.layer.0.mlp")
        mlp.register_forward_hook(lambda _module, _rows, output, found=found: found.append(output.dtype))
        stepper.step()
        assert set(found) == {kind}


def test_a_counted_step_costs_what_the_formula_says_and_moves_nothing(small: Recipe) -> None:
    """Within 8 %: at these sizes the queries of the last block and blocks of windows weigh more than at full size."""
    batch = fixed_batch(small, [9, 9])
    assert batch.labels is not None
    formulas = {
        "pretrain": pretraining_flops(small, [9, 9]),
        "finetune2": translation_flops(small, [9, 9], batch.labels.shape[1]),
    }
    for name, parts in formulas.items():
        stepper = step.Stepper(new_stage(small, name, batch), batch, small)
        before = [weight.detach().clone() for weight in stepper.weights]
        found = stepper.counted()
        assert found.forward == pytest.approx(sum(part.forward for part in parts.values()), rel=0.08)
        assert found.backward == pytest.approx(sum(part.backward for part in parts.values()), rel=0.08)
        assert all(torch.equal(old, new) for old, new in zip(before, stepper.weights, strict=True))
        assert all(weight.grad is None for weight in stepper.weights)


def test_rates_of_products_are_those_of_the_shapes(small: Recipe) -> None:
    shapes = step.shapes_of(small)
    assert list(shapes.values()) == [(8 * 17, 30, 120), (2048, 2048, 2048)]
    rates = step.matrix_rates({"a": (33, 21, 17), "b": (250, 260, 270)}, repeats=1)
    assert all(1e7 < rate < 1e14 for rate in rates.values())


def answer(seconds: float, rate: float) -> dict[str, object]:
    times = {"forward": seconds / 2, "backward": seconds / 4, "optimiser": seconds / 4, "seconds": seconds}
    rates = {"thin": [rate, rate + 2e9], "square": [1e9, 1e9]}
    return {**times, "rates": rates, "counted": [6e9, 3e9], "peak": 1.5, "threads": 2}


def test_the_floor_is_operations_over_the_better_rate() -> None:
    answers = [answer(4.0, 3e9), answer(8.0, 2e9), answer(2.0, 8e9)]
    found = step.summary(answers, {"ViT": Flops(5e9, 2e9), "head": Flops(1e9, 1e9)})
    assert found.seconds["seconds"] == 4.0
    assert found.rates == {"thin": 4.5e9, "square": 1e9}  # of 3, 5, 2, 4, 8, 10
    assert found.floor == pytest.approx(9e9 / 4.5e9)
    assert found.ratio == pytest.approx(2.0)


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    found = step.summary([answer(4.0, 2e9)], {"ViT": Flops(5e9, 2e9)})
    monkeypatch.setattr(step, "measure", lambda *_: found)
    text = step.run()
    assert "| pre-training | 2.00 | 1.00 | 1.00 | 4.00 | 7 | 3 | 2.33 | **1.71** | 1.5 |" in text
    assert "| ViT | 5.0 | 2.0 | 5.0 | 2.0 |" in text
    assert len({row.count("|") for row in re.findall(r"^\|.*step.*$|^\| .*-training.*$", text, re.MULTILINE)[:2]}) == 1
