"""How far each parameter moves: optimisers in symbols, learning-rate factors by part, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.training.toys import PLAN, Batch, Loader, Separable, a_run
from torch import Tensor, nn

from glossfree.console import Silent
from glossfree.training.loop import Plan, train

FACTORS = {"low": 0.1, "high": 3.0}  # "middle" is not named: 1
EXACT = replace(PLAN, epochs=2, schedule="constant", warmup=0.0, max_grad_norm=1e9, weight_decay=0.03, factors=FACTORS)
Update = Callable[[int, Tensor, Tensor, dict[str, Tensor], float], Tensor]


class Parts(Separable):
    """Three parts, one after another, without anything random."""

    name = "parts"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.low, self.middle, self.high = nn.Linear(7, 5), nn.Linear(5, 4), nn.Linear(4, 3)
        self.double()

    def error(self, batch: Batch) -> Tensor:
        return (self.high(self.middle(self.low(batch.values.double()).tanh()).tanh()) - 1).square().mean()

    def part_of(self, name: str) -> str:
        return name.split(".")[0]


def sgd(step: int, parameter: Tensor, gradient: Tensor, memory: dict[str, Tensor], rate: float) -> Tensor:
    gradient = gradient + 0.03 * parameter
    memory["momentum"] = 0.9 * memory["momentum"] + gradient if step else gradient
    return parameter - rate * memory["momentum"]


def moments(step: int, gradient: Tensor, memory: dict[str, Tensor]) -> Tensor:
    """The direction of Adam."""
    memory["first"] = 0.9 * memory.get("first", 0 * gradient) + 0.1 * gradient
    memory["second"] = 0.999 * memory.get("second", 0 * gradient) + 0.001 * gradient**2
    first, second = memory["first"] / (1 - 0.9 ** (step + 1)), memory["second"] / (1 - 0.999 ** (step + 1))
    return first / (second.sqrt() + 1e-8)


def adam(step: int, parameter: Tensor, gradient: Tensor, memory: dict[str, Tensor], rate: float) -> Tensor:
    return parameter - rate * moments(step, gradient + 0.03 * parameter, memory)


def adamw(step: int, parameter: Tensor, gradient: Tensor, memory: dict[str, Tensor], rate: float) -> Tensor:
    return parameter * (1 - rate * 0.03) - rate * moments(step, gradient, memory)


def by_hand(update: Update, plan: Plan) -> dict[str, Tensor]:
    """The parameters after the epochs of a plan."""
    stage, loader, memory = Parts(), Loader(), {}
    step = 0
    for epoch in range(plan.epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            stage.zero_grad()
            stage(batch)["loss"].backward()
            with torch.no_grad():
                for name, parameter in stage.named_parameters():
                    rate = plan.learning_rate * plan.factors.get(stage.part_of(name), 1.0)
                    own = memory.setdefault(name, {})
                    parameter.copy_(update(step, parameter, parameter.grad, own, rate))
            step += 1
    return stage.state_dict()


@pytest.mark.parametrize(("name", "update"), [("sgd", sgd), ("adam", adam), ("adamw", adamw)])
def test_every_parameter_moves_as_its_optimiser_and_the_factor_of_its_part_say(
    tmp_path: Path, name: str, update: Update
) -> None:
    plan, stage = replace(EXACT, optimizer=name), Parts()
    train(stage, Loader(), None, plan, a_run(tmp_path), Silent())
    expected = by_hand(update, plan)
    for each, tensor in stage.state_dict().items():
        assert not torch.allclose(tensor, Parts().state_dict()[each], rtol=1e-4), each
        torch.testing.assert_close(tensor, expected[each], rtol=1e-10, atol=1e-12, msg=each)


def test_a_step_of_sgd_is_rate_times_factor_times_gradient(tmp_path: Path) -> None:
    plan = replace(EXACT, epochs=1, optimizer="sgd", momentum=0.0, weight_decay=0.0, factors={"low": 0.0, "high": 2.0})

    class OneStep(Loader):
        def num_steps(self, epochs: int) -> int:
            return epochs

        def steps(self):  # type: ignore[no-untyped-def]
            yield [next(iter(self))]

    stage, before = Parts(), Parts()
    before(next(iter(Loader())))["loss"].backward()
    train(stage, OneStep(), None, plan, a_run(tmp_path), Silent())
    after = dict(stage.named_parameters())
    for name, parameter in before.named_parameters():
        factor = {"low": 0.0, "middle": 1.0, "high": 2.0}[before.part_of(name)]
        moved = parameter.detach() - after[name].detach()
        torch.testing.assert_close(moved, 0.05 * factor * parameter.grad, rtol=1e-12, atol=1e-15)
        assert (factor == 0) == torch.equal(after[name], parameter), name


def test_parameters_of_one_factor_share_a_group() -> None:
    stage = Parts()
    optimizer = replace(EXACT, factors={"low": 0.5, "high": 0.5}).optimizer_of(stage)
    groups = {group["factor"]: {id(p) for p in group["params"]} for group in optimizer.param_groups}
    parts = {name: {id(p) for p in part.parameters()} for name, part in stage.named_children()}
    assert groups == {0.5: parts["low"] | parts["high"], 1.0: parts["middle"]}
    (group,) = replace(EXACT, factors={}).optimizer_of(stage).param_groups
    assert group["factor"] == 1.0 and len(group["params"]) == 6


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_optimiser_with_factors_is_resumed_to_the_last_bit(tmp_path: Path, name: str) -> None:
    plan, whole, resumed = replace(EXACT, optimizer=name, checkpoint_minutes=0), Parts(), Parts()
    train(whole, Loader(), None, plan, a_run(tmp_path / "whole"), Silent())
    with pytest.raises(KeyboardInterrupt):
        train(Parts(), Loader((1, 1)), None, plan, a_run(tmp_path / "run"), Silent())
    train(resumed, Loader(before=(1, 1)), None, plan, a_run(tmp_path / "run"), Silent())
    for each, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[each], tensor), each


def test_the_logged_rate_is_the_one_of_factor_1(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    train(Parts(), Loader(), None, EXACT, run, Silent())
    assert {record["lr"] for record in run.records() if record["kind"] == "step"} == {0.05}
