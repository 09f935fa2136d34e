"""The loop on a toy: resumed = uninterrupted, a loss that is not finite, the best epoch, the rate of every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from glossfree.errors import RunError
from glossfree.progress import Silent
from glossfree.training.loop import Plan, evaluate, load_into, train
from glossfree.training.run import Run, load_tensors
from glossfree.training.schedule import one_cycle

PLAN = Plan(epochs=4, learning_rate=0.05, weight_decay=0.01, warmup=0.2, max_grad_norm=1.0, seed=3)


@dataclass(frozen=True)
class Batch:
    ids: tuple[str, ...]
    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.ids, self.values.to(device), self.lengths)


class Loader:
    """Batches of 2, 2 and 1 clips, another order every epoch; may break off, as a killed process would."""

    def __init__(self, breaks_at: tuple[int, int] | None = None, bad: str = "") -> None:
        self.epoch, self.breaks_at, self.bad = 0, breaks_at, bad
        source = torch.Generator().manual_seed(1)
        self.values = {name: torch.randn(7, generator=source) for name in "abcde"}

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 3

    def num_steps(self, epochs: int) -> int:
        return 3 * epochs

    def steps(self) -> Iterator[list[Batch]]:
        for batch in self:
            yield [batch]

    def __iter__(self) -> Iterator[Batch]:
        names = "abcde"[self.epoch % 5 :] + "abcde"[: self.epoch % 5]
        for number, chosen in enumerate((names[:2], names[2:4], names[4:])):
            if self.breaks_at == (self.epoch, number):
                raise KeyboardInterrupt
            values = torch.stack([self.values[name] for name in chosen])
            if self.bad in chosen and self.bad:
                values = values * float("nan")
            yield Batch(tuple(chosen), values, torch.full((len(chosen),), 7))


class Toy(nn.Module):
    """Dropout and BatchNorm: chance and running statistics, both of which a checkpoint must not lose."""

    name = "toy"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Dropout(0.4), nn.Linear(5, 3))
        self.layers[0].bias.requires_grad_(False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        values = batch.values.repeat(2, 1) if len(batch) == 1 else batch.values
        error = (self.layers(values) - 1).square().mean()
        return {"loss": error, "half": error / 2}

    def weight(self, batch: Batch) -> float:
        return float(len(batch))

    def set_training(self) -> None:
        self.train()

    def trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def saved(self) -> dict[str, Tensor]:
        return {**self.trained(), **dict(self.named_buffers())}


class Growing(nn.Module):
    """Training drives w up; validation wants it small: the first epoch is the best."""

    name = "growing"

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.25]))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": -self.w.sum() if self.training else self.w.square().sum()}

    def weight(self, batch: Batch) -> float:
        return float(len(batch))

    def set_training(self) -> None:
        self.train()

    def trained(self) -> dict[str, nn.Parameter]:
        return {"w": self.w}

    def saved(self) -> dict[str, Tensor]:
        return {"w": self.w}


def a_run(folder: Path) -> Run:
    run = Run(folder)
    if not run.recipe.exists():
        run.start("", {}, resume=False)
    return run


def without_seconds(run: Run) -> list[dict[str, object]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in run.records()]


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


def test_every_step_is_logged_with_its_rate_its_frames_and_its_losses(tmp_path: Path) -> None:
    run, console = a_run(tmp_path), Silent()
    train(Toy(), Loader(), Loader(), PLAN, run, console)
    steps = [record for record in run.records() if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, 13))
    assert [record["lr"] for record in steps] == [one_cycle(step, 12, 0.05, 0.2) for step in range(12)]
    assert [record["frames"] for record in steps[:3]] == [14, 14, 7]
    assert all(record["half"] == pytest.approx(record["loss"] / 2) for record in steps)
    epochs = [record for record in run.records() if record["kind"] == "epoch"]
    assert [record["epoch"] for record in epochs] == [0, 1, 2, 3]
    first = [record["loss"] * size for record, size in zip(steps[:3], (2, 2, 1), strict=True)]
    assert epochs[0]["train"]["loss"] == pytest.approx(sum(first) / 5)
    assert len(console.lines) == 4 and "toy epoch 4/4" in console.lines[-1]


class InPieces(Loader):
    """The same clips in one step, clip by clip; an epoch's second step has nothing left in it."""

    def num_steps(self, epochs: int) -> int:
        return 2 * epochs

    def steps(self) -> Iterator[list[Batch]]:
        yield [Batch((name,), self.values[name][None], torch.tensor([7])) for name in "abcde"]
        yield []


class Linear(Toy):
    """Nothing in it that knows which clips come together."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, 5), nn.GELU(), nn.Linear(5, 3))


def test_a_step_in_several_batches_is_the_same_step(tmp_path: Path) -> None:
    class Whole(InPieces):
        def steps(self) -> Iterator[list[Batch]]:
            (pieces, nothing) = super().steps()
            yield [Batch(tuple("abcde"), torch.cat([piece.values for piece in pieces]), torch.full((5,), 7))]
            yield nothing

    stages = []
    for kind in (InPieces, Whole):
        run, stage = a_run(tmp_path / kind.__name__), Linear()
        progress = train(stage, kind(), kind(), PLAN, run, Silent())
        assert (progress.epoch, progress.step) == (4, 8)
        stages.append((stage.state_dict(), without_seconds(run)))
    (pieces, lines), (whole, expected) = stages
    assert not torch.equal(whole["layers.0.weight"], Linear().state_dict()["layers.0.weight"])
    for name, tensor in whole.items():
        torch.testing.assert_close(pieces[name], tensor, rtol=1e-5, atol=1e-6)
    assert [line.get("frames") for line in lines] == [line.get("frames") for line in expected]
    losses = [[line["loss"] for line in each if "loss" in line] for each in (lines, expected)]
    assert len(losses[0]) == 4 and losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_loss_that_is_not_finite_names_the_clips_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(Toy(), Loader(breaks_at=(1, 1)), None, PLAN, run, Silent())
    before = run.checkpoint("toy", "last").read_bytes()
    with pytest.raises(RunError, match="nan") as caught:
        train(Toy(), Loader(bad="d"), None, PLAN, run, Silent())
    assert "'d'" in str(caught.value) and "'b'" not in str(caught.value)
    assert run.checkpoint("toy", "last").read_bytes() == before
    tensors, facts = load_tensors(run.checkpoint("toy", "last"))
    assert facts["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_the_best_epoch_s_weights_are_left_unless_the_last_are_asked_for(tmp_path: Path) -> None:
    left = {}
    for keep in ("best", "last"):
        stage, run = Growing(), a_run(tmp_path / keep)
        progress = train(stage, Loader(), Loader(), replace(PLAN, keep=keep), run, Silent())
        epochs = [record["dev"]["loss"] for record in run.records() if record["kind"] == "epoch"]
        assert epochs == sorted(epochs) and epochs[0] < epochs[-1]
        assert (progress.best_epoch, progress.best_loss) == (1, epochs[0])
        left[keep] = float(stage.w.detach()) ** 2
        assert left[keep] == pytest.approx(epochs[0] if keep == "best" else epochs[-1])
    assert left["best"] < left["last"]


def test_without_a_dev_split_the_last_epoch_is_left(tmp_path: Path) -> None:
    stage, run = Growing(), a_run(tmp_path)
    train(stage, Loader(), None, PLAN, run, Silent())
    saved, _ = load_tensors(run.checkpoint("growing", "last"))
    assert torch.equal(saved["weights.w"], stage.w.detach())
    assert [record["dev"] for record in run.records() if record["kind"] == "epoch"] == [{}] * 4


def test_what_does_not_train_stays(tmp_path: Path) -> None:
    stage = Toy()
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    train(stage, Loader(), None, PLAN, a_run(tmp_path), Silent())
    same = [name for name, tensor in stage.state_dict().items() if torch.equal(before[name], tensor)]
    assert same == ["layers.0.bias"]


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """With a norm of 1e-12 Adam's own epsilon is larger: next to nothing moves."""
    stage = Growing()
    plan = replace(PLAN, max_grad_norm=1e-12, weight_decay=0.0)
    train(stage, Loader(), None, plan, a_run(tmp_path), Silent())
    assert float(stage.w.detach()) == pytest.approx(0.25, abs=1e-3)


def test_losses_are_means_over_clips_in_evaluation_mode() -> None:
    stage, loader = Toy(), Loader()
    stage.eval()
    with torch.no_grad():
        expected = sum(float(stage(batch)["loss"]) * len(batch) for batch in loader) / 5
    stage.train()
    found = evaluate(stage, loader)
    assert found["loss"] == pytest.approx(expected)
    assert not stage.training


def test_a_checkpoint_of_another_model_is_refused() -> None:
    with pytest.raises(RunError, match="another model"):
        load_into(Toy(), {"w": torch.ones(1)})
