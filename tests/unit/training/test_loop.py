"""The loop on a toy: optimisers, the rate of every step, the epoch that is kept, more epochs, losses not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tests.unit.training.toys import PLAN, Batch, Growing, Loader, Toy, a_run, without_seconds
from torch import Tensor, nn

from glossfree.console import Silent
from glossfree.errors import RunError
from glossfree.training import loop
from glossfree.training.device import fast_precisions
from glossfree.training.loop import Plan, evaluate, read, seed_of, train
from glossfree.training.run import load_tensors
from glossfree.training.schedule import learning_rate, one_cycle


def test_a_loss_in_half_precision_is_scaled_and_the_scale_is_kept(tmp_path: Path, monkeypatch: Any) -> None:
    """Steps of a scaled loss are those of the plain one; a gradient that overflows is skipped."""
    plain = Toy()
    train(plain, Loader(), None, PLAN, a_run(tmp_path / "plain"), Silent())
    scalers: list[torch.amp.GradScaler] = []

    class Scaling(Accelerator):
        def __init__(self, **_: Any) -> None:
            super().__init__()
            self.scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=5)
            scalers.append(self.scaler)

        def backward(self, loss: Tensor, **_: Any) -> None:
            self.scaler.scale(loss).backward()

    monkeypatch.setattr(loop, "Accelerator", Scaling)
    run, scaled = a_run(tmp_path / "scaled"), Toy()
    with pytest.raises(KeyboardInterrupt):
        train(Toy(), Loader(breaks_at=(3, 0)), None, PLAN, run, Silent())
    train(scaled, Loader(), None, PLAN, run, Silent())
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(scaled.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    assert scalers[1].get_scale() == 256.0 * 2 ** (12 // 5), "its scale grew through both parts of the run"


@pytest.mark.parametrize(
    ("wanted", "cuda", "bf16", "expected"),
    [
        *(("auto", False, False, "no"), ("auto", True, True, "bf16"), ("auto", True, False, "fp16")),
        *(("fp32", True, True, "no"), ("bf16", False, False, "bf16")),
    ],
)
def test_precision_is_what_the_device_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, wanted: str, cuda: bool, bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert loop.precision_of(wanted) == expected


@pytest.mark.parametrize(
    ("abilities", "fast"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, {"bf16"}),
        ({"amx_bf16": False, "avx512_bf16": True}, {"bf16"}),
        ({"avx512_bf16": False, "avx512_f": True}, set()),
        ({}, set()),
    ],
)
def test_a_cpu_that_computes_in_bf16_is_not_made_to(
    monkeypatch: pytest.MonkeyPatch, abilities: dict[str, bool], fast: set[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities, raising=False)
    assert fast_precisions() == fast
    assert loop.precision_of() == "no"


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
    lines = [line for line in console.lines if "an epoch" in line]
    assert len(lines) == 4 and all(line.startswith(f"toy epoch {n}/4: loss ") for n, line in enumerate(lines, 1))
    assert ", dev loss " in lines[0] and f"dev half {epochs[-1]['dev']['half']:.3f}" in console.lines[-1]


def test_a_step_reads_its_losses_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the norm of its gradients; an accelerator would be waited for each time. Validation reads no norm."""
    numbers: list[list[float]] = []
    monkeypatch.setattr(loop, "read", lambda scalars: numbers.append(read(scalars)) or numbers[-1])
    run = a_run(tmp_path)
    train(Toy(), Loader(), Loader(), PLAN, run, Silent())
    assert [len(each) for each in numbers] == [3, 3, 3, 2, 2, 2] * 4
    losses = [[record["loss"], record["half"]] for record in run.records() if record["kind"] == "step"]
    assert [each[:2] for each in numbers if len(each) == 3] == losses
    assert all(each[2] > 0 for each in numbers if len(each) == 3)


def test_what_is_read_is_exact() -> None:
    values = [torch.tensor(1 / 3), torch.tensor(0.1, dtype=torch.float64), torch.tensor(2.71, dtype=torch.bfloat16)]
    assert read(values) == [float(value) for value in values]


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


class Explosive(Growing):
    """The loss is 0, its gradient infinite: 0 is where a square root has a vertical tangent."""

    name = "explosive"

    def error(self, batch: Batch) -> Tensor:
        return (self.w - self.w.detach()).sqrt().sum()


def test_gradients_that_are_not_finite_name_the_clips_and_move_nothing(tmp_path: Path) -> None:
    stage, run = Explosive(), a_run(tmp_path)
    with pytest.raises(RunError, match=r"explosive: gradients have the norm inf with clips \['a', 'b'\]"):
        train(stage, Loader(), None, PLAN, run, Silent())
    assert float(stage.w.detach()) == 0.25
    assert not run.checkpoint("explosive", "last").exists()


def test_what_was_left_out_is_kept_with_the_checkpoint(tmp_path: Path) -> None:
    run, loader = a_run(tmp_path), Loader(breaks_at=(1, 1))
    loader.left_out = ["y", "x"]
    with pytest.raises(KeyboardInterrupt):
        train(Toy(), loader, None, PLAN, run, Silent())
    again = Loader()
    again.left_out = ["z"]
    assert train(Toy(), again, None, PLAN, run, Silent()).skipped == ["x", "y", "z"]


def test_an_epoch_without_a_clip_ends_in_an_error(tmp_path: Path) -> None:
    class Empty(Loader):
        def steps(self) -> Iterator[list[Batch]]:
            yield from ([], [], [])

    loader = Empty()
    loader.left_out = list("abcde")
    with pytest.raises(RunError, match=r"no clip could be read in a whole epoch: \['a', 'b', 'c', 'd', 'e'\]"):
        train(Toy(), loader, None, PLAN, a_run(tmp_path), Silent())


def test_the_epoch_of_the_lowest_loss_is_left_or_the_last(tmp_path: Path) -> None:
    left = {}
    for keep in ("loss", "last"):
        stage, run = Growing(), a_run(tmp_path / keep)
        progress = train(stage, Loader(), Loader(), replace(PLAN, keep=keep), run, Silent())
        epochs = dev_of(run, "loss")
        assert epochs == sorted(epochs) and epochs[0] < epochs[-1]
        assert (progress.best_epoch, progress.best_loss) == (1, epochs[0])
        left[keep] = float(stage.w.detach()) ** 2
        assert left[keep] == pytest.approx(epochs[0] if keep == "loss" else epochs[-1])
    assert left["loss"] < left["last"]


def dev_of(run: Any, name: str) -> list[float]:
    """A loss or score of the dev split, epoch by epoch."""
    return [record["dev"][name] for record in run.records() if record["kind"] == "epoch"]


def scores(*values: float) -> Callable[[], dict[str, float]]:
    """What `measure` returns after each epoch."""
    remaining = iter(values)
    return lambda: {"bleu4": next(remaining), "rouge_l": 50.0}


def test_the_epoch_of_the_highest_dev_score_is_left_whatever_the_loss(tmp_path: Path) -> None:
    plan, run, stage, weights = replace(PLAN, keep="bleu4"), a_run(tmp_path), Growing(), []
    measure = scores(3.0, 7.5, 7.5, 4.0)

    def measured() -> dict[str, float]:
        weights.append(stage.w.detach().clone())
        assert not stage.training
        return measure()

    progress = train(stage, Loader(), Loader(), plan, run, Silent(), measure=measured)
    assert (progress.best_epoch, progress.best_loss) == (2, -7.5), "the first of two equal ones"
    assert dev_of(run, "bleu4") == [3.0, 7.5, 7.5, 4.0] and dev_of(run, "rouge_l") == [50.0] * 4
    assert dev_of(run, "loss")[1] > dev_of(run, "loss")[0]
    assert torch.equal(stage.w.detach(), weights[1]) and not torch.equal(stage.w.detach(), weights[3])


def test_a_dev_score_is_kept_over_a_break(tmp_path: Path) -> None:
    plan, run = replace(PLAN, keep="rouge_l"), a_run(tmp_path)
    whole, broken = Growing(), Growing()
    values = iter([8.0, 9.0, 2.0, 1.0])
    expected = train(
        whole, Loader(), Loader(), plan, a_run(tmp_path / "whole"), Silent(), measure=lambda: {"rouge_l": next(values)}
    )
    values = iter([8.0, 9.0, 2.0, 1.0])
    with pytest.raises(KeyboardInterrupt):
        train(Growing(), Loader((2, 1)), Loader(), plan, run, Silent(), measure=lambda: {"rouge_l": next(values)})
    progress = train(broken, Loader(), Loader(), plan, run, Silent(), measure=lambda: {"rouge_l": next(values)})
    assert (progress.best_epoch, progress.best_loss) == (expected.best_epoch, expected.best_loss) == (2, -9.0)
    assert torch.equal(broken.w, whole.w)


def test_nothing_is_translated_where_no_score_is_asked_for(tmp_path: Path) -> None:
    def measure() -> dict[str, float]:
        raise AssertionError("translating a dev split takes minutes")

    for keep in ("loss", "last"):
        train(
            Growing(), Loader(), Loader(), replace(PLAN, keep=keep), a_run(tmp_path / keep), Silent(), measure=measure
        )


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


def continued(stage: Toy, run: Any, plan: Plan, loader: Loader | None = None) -> Any:
    """Train a stage whose weights are those of three epochs before."""
    stage.load_state_dict(three_epochs())
    return train(stage, loader or Loader(), Loader(), plan, run, Silent())


def three_epochs() -> dict[str, Tensor]:
    torch.manual_seed(4)
    return {name: tensor + 0.1 if tensor.is_floating_point() else tensor for name, tensor in Toy().state_dict().items()}


def test_a_stage_that_goes_on_has_a_schedule_over_the_new_epochs_alone(tmp_path: Path) -> None:
    run, plan = a_run(tmp_path), replace(PLAN, epochs=5, begin=3, schedule="cosine", warmup=0.5)
    progress = continued(Toy(), run, plan)
    assert (progress.epoch, progress.step) == (5, 15)
    records = [record for record in run.records() if record["kind"] == "step"]
    assert [(record["epoch"], record["step"]) for record in records] == [
        (3, 10), (3, 11), (3, 12), (4, 13), (4, 14), (4, 15)
    ]  # fmt: skip
    expected = [learning_rate("cosine", step, 6, PLAN.learning_rate, 0.25) for step in range(6)]
    assert [record["lr"] for record in records] == expected
    assert expected.index(max(expected)) == 2


def test_a_stage_that_goes_on_reads_the_clips_and_random_states_of_those_epochs(tmp_path: Path) -> None:
    seen: list[int] = []

    class Noting(Loader):
        def set_epoch(self, epoch: int, position: int = 0) -> None:
            seen.append(epoch)
            super().set_epoch(epoch, position)

    continued(Toy(), a_run(tmp_path), replace(PLAN, epochs=5, begin=3), Noting())
    assert seen == [3, 4]
    seeds = [seed_of(PLAN.seed, "toy", epoch, rank) for epoch in range(5) for rank in range(3)]
    assert len(set(seeds)) == 15


@pytest.mark.parametrize("breaks_at", [(3, 1), (4, 0), (4, 2)])
def test_a_stage_that_goes_on_can_be_interrupted(tmp_path: Path, breaks_at: tuple[int, int]) -> None:
    plan = replace(PLAN, epochs=5, begin=3, checkpoint_minutes=0)
    whole, broken, expected, resumed = a_run(tmp_path / "whole"), a_run(tmp_path / "broken"), Toy(), Toy()
    continued(expected, whole, plan)
    with pytest.raises(KeyboardInterrupt):
        continued(Toy(), broken, plan, Loader(breaks_at))
    continued(resumed, broken, plan, Loader(before=breaks_at))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    assert without_seconds(broken) == without_seconds(whole)


def test_a_stage_that_goes_on_keeps_an_epoch_only_if_it_is_better_than_those_before(tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=5, begin=3)
    none_better, all_better = a_run(tmp_path / "none"), a_run(tmp_path / "all")
    progress = continued(Toy(), none_better, replace(plan, best=1e-6))
    assert (progress.best_epoch, progress.best_loss) == (0, 1e-6)
    assert not none_better.checkpoint("toy", "best").exists()
    assert continued(Toy(), all_better, replace(plan, best=math.inf)).best_epoch in (4, 5)
