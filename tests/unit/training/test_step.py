"""A step in several batches: the gradients of one, also where clips are compared across batches (GradCache)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glossfree.errors import RunError
from glossfree.losses import contrastive_loss
from glossfree.training.stage import JointStage
from glossfree.training.step import backward, losses_of, shares_of, statistics_held, weighted

SIZES = (3, 1, 4)


class Precision:
    """Full precision; `factor` is what float16's scaler would multiply a loss by."""

    def __init__(self, factor: float | None = None) -> None:
        self.factor, self.calls = factor, 0
        self.scaler = None if factor is None else self

    def get_scale(self) -> float:
        assert self.factor is not None
        return self.factor

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        self.calls += 1
        (loss * (self.factor or 1.0)).backward()


@dataclass(frozen=True)
class Batch:
    values: Tensor
    texts: Tensor

    @property
    def lengths(self) -> Tensor:
        return torch.ones(len(self))

    def __len__(self) -> int:
        return len(self.values)


class Comparing(nn.Module):
    """A mean over clips and a contrast between them, with dropout and BatchNorm below both."""

    name = "comparing"

    def __init__(self, dropout: float = 0.4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(7, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Dropout(dropout), nn.Linear(6, 5))
        self.logit_scale = nn.Parameter(torch.tensor(1.3))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        losses, compared = self.separable(batch)
        losses |= self.joint(*compared)
        return {"loss": self.total(losses), **losses}

    def separable(self, batch: Batch) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        video = self.layers(batch.values)
        return {"size": video.square().mean()}, (video, batch.texts)

    def joint(self, video: Tensor, text: Tensor) -> dict[str, Tensor]:
        return {"contrast": contrastive_loss(video, text, self.logit_scale.exp())}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        return 3.0 * losses["size"] + losses["contrast"]

    def weight(self, batch: Batch) -> float:
        return float(len(batch))


def batches() -> list[Batch]:
    source = torch.Generator().manual_seed(2)
    return [Batch(torch.randn(n, 7, generator=source), torch.randn(n, 5, generator=source)) for n in SIZES]


def whole() -> Batch:
    parts = batches()
    return Batch(torch.cat([part.values for part in parts]), torch.cat([part.texts for part in parts]))


def gradients(stage: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in stage.named_parameters() if p.grad is not None}


def hold(stage: Comparing) -> Comparing:
    """BatchNorm's statistics fixed: they alone depend on the batch."""
    stage.train()
    stage.layers[1].eval()
    return stage


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("factor", [None, 1024.0])
def test_negatives_of_a_cut_step_are_those_of_the_whole(factor: float | None) -> None:
    """Without dropout: the large batch itself, its losses and all its gradients, tau's included."""
    one, several = hold(Comparing(0.0)), hold(Comparing(0.0))
    assert isinstance(one, JointStage)
    expected = backward(one, [whole()], Precision())
    found = backward(several, batches(), Precision(factor))
    close(found, {name: value.detach() for name, value in expected.items()})
    close({name: grad / (factor or 1.0) for name, grad in gradients(several).items()}, gradients(one))
    assert set(gradients(one)) == {name for name, _ in one.named_parameters()}
    alone = [float(one(batch)["contrast"].detach()) for batch in batches() if len(batch) > 1]
    assert max(alone) < float(expected["contrast"].detach()), "negatives from other batches must make it harder"


def test_dropout_of_the_second_pass_is_that_of_the_first() -> None:
    naive, cached = Comparing().train(), Comparing().train()
    torch.manual_seed(5)
    seen = [naive.separable(batch) for batch in batches()[::2]]  # a batch of one has no variance
    shares = shares_of(naive, batches()[::2])
    losses = weighted([losses for losses, _ in seen], shares)
    losses |= naive.joint(*(torch.cat(parts) for parts in zip(*(compared for _, compared in seen), strict=True)))
    naive.total(losses).backward()
    after = torch.rand(3)
    torch.manual_seed(5)
    found = backward(cached, batches()[::2], Precision())
    assert torch.equal(torch.rand(3), after), "the step leaves chance where one pass would have left it"
    close(found, {"loss": naive.total(losses).detach(), **{name: value.detach() for name, value in losses.items()}})
    close(gradients(cached), gradients(naive))
    for name, statistic in naive.named_buffers():  # counted once, not twice
        torch.testing.assert_close(cached.get_buffer(name), statistic)


def test_gradients_add_up_to_those_that_are_there() -> None:
    once, twice = hold(Comparing(0.0)), hold(Comparing(0.0))
    backward(once, batches(), Precision())
    for _ in range(2):
        backward(twice, batches(), Precision())
    close(gradients(twice), {name: 2 * grad for name, grad in gradients(once).items()})


def test_losses_without_gradients_are_the_same() -> None:
    stage = Comparing().eval()
    with torch.no_grad():
        close(losses_of(stage, batches()), losses_of(stage, [whole()]))
        close(losses_of(stage, [whole()]), stage(whole()))


def test_a_step_of_one_batch_goes_forward_and_back_once() -> None:
    precision, seen = Precision(), []
    stage = Comparing()
    stage.layers.register_forward_hook(lambda *_: seen.append(1))
    backward(stage, [whole()], precision)
    assert (len(seen), precision.calls) == (1, 1)


def test_shares_are_what_losses_are_means_over() -> None:
    assert shares_of(Comparing(), batches()) == [3 / 8, 1 / 8, 4 / 8]


@dataclass(frozen=True)
class Named(Batch):
    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"clip {row}" for row in range(len(self)))


def test_a_step_of_one_clip_is_an_error_that_names_it() -> None:
    stage, alone = Comparing().eval(), Named(torch.rand(1, 7), torch.rand(1, 5))
    for run in (lambda step: backward(stage, step, Precision()), lambda step: losses_of(stage, step)):
        with pytest.raises(RunError, match=r"comparing: clip clip 0 is alone in its step.*manifest\.jsonl"):
            run([alone])
        assert run([alone, alone])["contrast"] > 0, "alone in its batch only"
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in stage.parameters())


def test_statistics_are_held_and_let_go() -> None:
    norm = nn.BatchNorm1d(4, momentum=0.3)
    before = {name: tensor.clone() for name, tensor in norm.named_buffers()}
    with statistics_held(norm):
        held = norm(torch.randn(9, 4) + 5)
    assert float(held.mean().detach()) == pytest.approx(0, abs=1e-5), "it normalises by the batch all the same"
    assert all(torch.equal(norm.get_buffer(name), tensor) for name, tensor in before.items())
    norm(torch.randn(9, 4) + 5)
    assert norm.momentum == 0.3 and int(norm.num_batches_tracked) == 1
    assert not torch.equal(norm.running_mean, before["running_mean"])
