"""A step in several batches: the gradients of one, also where clips are compared across batches (GradCache).

In float64, so that nothing but an error can tell the two apart. The toy has what stages may have: a mean over clips
beside a mean over tokens, a comparison of pooled features beside one of ragged token features, dropout and BatchNorm.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glossfree.errors import RunError
from glossfree.padded import Padded
from glossfree.training.processes import Processes
from glossfree.training.step import backward, freeze_running_statistics, losses_of, shares_of, weighted

# clips of each batch: tokens of video and of text; the longest differs from batch to batch
CLIPS = (((5, 2), (3, 4), (1, 1)), ((2, 3),), ((4, 1), (7, 2), (2, 6), (3, 3)))
WIDTH, OUT = 6, 5


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
    video: Padded
    text: Padded

    @property
    def lengths(self) -> Tensor:
        return self.video.lengths

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"clip {row}" for row in range(len(self)))

    def __len__(self) -> int:
        return len(self.lengths)


def joined(batches: list[Batch]) -> Batch:
    """Batches -> one of all their clips, with other padding: as long as the longest, and filled with rubbish."""
    sides = []
    for parts in ([batch.video for batch in batches], [batch.text for batch in batches]):
        lengths = torch.cat([part.lengths for part in parts])
        padded = Padded.unpack(torch.cat([part.pack() for part in parts]), lengths)
        sides.append(padded.with_values(padded.values.masked_fill(~padded.mask[..., None], 9.0)))
    return Batch(*sides)


def batches() -> list[Batch]:
    source = torch.Generator().manual_seed(2)

    def side(lengths: list[int], width: int) -> Padded:
        rows = torch.randn(sum(lengths), width, generator=source, dtype=torch.float64)
        return Padded.unpack(rows, torch.tensor(lengths))

    return [Batch(side([v for v, _ in clips], WIDTH), side([t for _, t in clips], OUT)) for clips in CLIPS]


class Comparing(nn.Module):
    """Two means, over clips and over tokens, and two comparisons, of averages and of tokens with each other."""

    name = "comparing"
    compares_clips = True

    def __init__(self, dropout: float = 0.4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(dropout), nn.Linear(8, OUT)
        )
        self.log_scale = nn.Parameter(torch.tensor(0.3))
        self.double()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        losses, compared = self.separable(batch)
        losses |= self.joint(compared)
        return {"loss": self.total(losses), **losses}

    def separable(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor | Padded, ...]]]:
        packed = self.layers(batch.video.pack())
        video = Padded.unpack(packed, batch.lengths)
        losses = {"clips": video.mean().square().mean(), "tokens": (packed - 1).square().mean()}
        return losses, {"pooled": (video.mean(), batch.text.mean()), "ragged": (video, batch.text)}

    def joint(self, compared: dict[str, tuple[Any, ...]]) -> dict[str, Tensor]:
        (video, text), ragged = compared["pooled"], compared["ragged"]
        scale = self.log_scale.exp()
        return {"pooled": contrast(video @ text.T * scale), "ragged": contrast(token_similarity(*ragged) * scale)}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        weights = {"clips": 3.0, "tokens": 0.5, "pooled": 1.0, "ragged": 2.0}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def units(self, batch: Batch) -> dict[str, float]:
        return {"clips": float(len(batch)), "tokens": float(batch.lengths.sum())}


def contrast(logits: Tensor) -> Tensor:
    pairs = torch.arange(len(logits))
    return (nn.functional.cross_entropy(logits, pairs) + nn.functional.cross_entropy(logits.T, pairs)) / 2


def token_similarity(video: Padded, text: Padded) -> Tensor:
    """Each token of a sentence looks for the video token most like it: (B, B), the mean over its tokens."""
    products = torch.einsum("ild,jmd->ijlm", video.values, text.values)
    best = products.masked_fill(~video.mask[:, None, :, None], -torch.inf).amax(dim=2)
    return (best.masked_fill(~text.mask[None], 0.0)).sum(dim=2) / text.lengths


def gradients(stage: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in stage.named_parameters() if p.grad is not None}


def hold(stage: Comparing) -> Comparing:
    """BatchNorm's statistics fixed: they alone depend on the batch."""
    stage.train()
    stage.layers[1].eval()
    return stage


def close(values: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert values.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(values[name], tensor, rtol=1e-12, atol=1e-13, msg=name)


@pytest.mark.parametrize("factor", [None, 1024.0])
def test_a_step_in_batches_has_the_losses_and_gradients_of_the_whole(factor: float | None) -> None:
    one, several = hold(Comparing(0.0)), hold(Comparing(0.0))
    expected = backward(one, [joined(batches())], Precision())
    losses = backward(several, batches(), Precision(factor))
    close(losses, {name: value.detach() for name, value in expected.items()})
    close({name: grad / (factor or 1.0) for name, grad in gradients(several).items()}, gradients(one))
    assert set(gradients(one)) == {name for name, _ in one.named_parameters()}
    for name in ("pooled", "ragged"):
        alone = [float(one(batch)[name].detach()) for batch in batches() if len(batch) > 1]
        assert max(alone) < float(expected[name].detach()), "negatives from other batches must make it harder"


def test_each_loss_alone_has_its_part_of_the_gradient() -> None:
    """So that no loss can hide behind a larger one."""
    for name in ("clips", "tokens", "pooled", "ragged"):
        one, several = hold(Comparing(0.0)), hold(Comparing(0.0))
        for stage in (one, several):
            stage.total = lambda losses, name=name: sum(  # type: ignore[method-assign]
                (loss * float(each == name) for each, loss in losses.items()), torch.tensor(0.0)
            )
        backward(one, [joined(batches())], Precision())
        backward(several, batches(), Precision())
        close(gradients(several), gradients(one))
        assert float(gradients(one)["layers.0.weight"].abs().max()) > 1e-3


def test_shares_are_what_each_loss_is_a_mean_over() -> None:
    shares = shares_of(Comparing(), batches())
    assert [share["clips"] for share in shares] == [3 / 8, 1 / 8, 4 / 8]
    assert [share["tokens"] for share in shares] == [9 / 27, 2 / 27, 16 / 27]


def test_dropout_of_the_second_pass_is_that_of_the_first() -> None:
    naive, cached, parts = Comparing().train(), Comparing().train(), batches()
    torch.manual_seed(5)
    outputs = [naive.separable(batch) for batch in parts]
    losses = weighted([losses for losses, _ in outputs], shares_of(naive, parts))
    video, text = joined([Batch(*compared["ragged"]) for _, compared in outputs]), joined(parts).text
    losses |= naive.joint({"pooled": (video.video.mean(), text.mean()), "ragged": (video.video, text)})
    naive.total(losses).backward()
    after = torch.rand(3)
    torch.manual_seed(5)
    cached_losses = backward(cached, parts, Precision())
    assert torch.equal(torch.rand(3), after), "the step leaves the random state where one pass would have left it"
    close(cached_losses, {"loss": naive.total(losses).detach(), **{n: value.detach() for n, value in losses.items()}})
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
        close(losses_of(stage, batches()), losses_of(stage, [joined(batches())]))
        close(losses_of(stage, [joined(batches())]), stage(joined(batches())))


def test_a_step_of_one_batch_goes_forward_and_back_once() -> None:
    precision, calls = Precision(), []
    stage = Comparing()
    stage.layers.register_forward_hook(lambda *_: calls.append(1))
    backward(stage, [joined(batches())], precision)
    assert (len(calls), precision.calls) == (1, 1)


def test_a_step_of_one_clip_is_an_error_that_names_it() -> None:
    stage, alone = Comparing().eval(), batches()[1]
    for run in (lambda step: backward(stage, step, Precision()), lambda step: losses_of(stage, step)):
        with pytest.raises(RunError, match=r"comparing: clip clip 0 is the only one of its step.*manifest\.jsonl"):
            run([alone])
        assert run([alone, alone])["pooled"] > 0, "the only one of its batch"
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in stage.parameters())


class HeadOnly(Comparing):
    """Nothing below the joint losses trains, and there is no other loss: a step leaves no gradient to batches."""

    def separable(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor | Padded, ...]]]:
        return {}, super().separable(batch)[1]

    def units(self, batch: Batch) -> dict[str, float]:
        return {}


def test_what_only_the_joint_losses_train_is_trained_in_batches_too() -> None:
    one, several = HeadOnly(0.0), HeadOnly(0.0)
    for stage in (one, several):
        stage.layers.requires_grad_(False).eval()
    backward(one, [joined(batches())], Precision())
    backward(several, batches(), Precision())
    assert list(gradients(several)) == ["log_scale"]
    close(gradients(several), gradients(one))


class Group(Processes):
    """Processes that are threads: what they send is put on a table, and read when all have come."""

    barrier: threading.Barrier
    table: dict[int, Tensor]

    @classmethod
    def of(cls, size: int) -> list[Group]:
        barrier, table = threading.Barrier(size, timeout=30), dict[int, Tensor]()
        groups = [cls(rank, size) for rank in range(size)]
        for group in groups:
            object.__setattr__(group, "barrier", barrier)
            object.__setattr__(group, "table", table)
        return groups

    def exchange(self, own: Tensor) -> list[Tensor]:
        self.table[self.rank] = own.clone()
        self.barrier.wait()
        everybody = [self.table[rank] for rank in range(self.size)]
        self.barrier.wait()
        return everybody

    def sum(self, values: Tensor) -> Tensor:
        return torch.stack(self.exchange(values)).sum(dim=0)

    def numbers(self, own: Sequence[float], operation: str = "SUM") -> list[float]:
        return self.sum(torch.tensor(own, dtype=torch.float64)).tolist()

    def rows(self, own: Tensor) -> tuple[Tensor, int]:
        everybody = self.exchange(own)
        return torch.cat(everybody), sum(map(len, everybody[: self.rank]))


# numbers of clips: in each process the same number of batches
@pytest.mark.parametrize("cut", [[[[0, 5, 2, 7]], [[1, 3, 4, 6]]], [[[0, 3], [1]], [[2, 4, 5], [6, 7]]]])
def test_processes_that_share_a_step_add_up_to_the_whole(cut: list[list[list[int]]]) -> None:
    one, stages = hold(Comparing(0.0)), [hold(Comparing(0.0)) for _ in cut]
    expected = backward(one, [joined(batches())], Precision())
    results: dict[int, dict[str, Tensor]] = {}

    def work(group: Group) -> None:
        own = [joined([clips()[number] for number in batch]) for batch in cut[group.rank]]
        results[group.rank] = backward(stages[group.rank], own, Precision(), group)

    threads = [threading.Thread(target=work, args=(group,)) for group in Group.of(len(cut))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    for losses in results.values():
        close(losses, {name: value.detach() for name, value in expected.items()})
    first, second = (gradients(stage) for stage in stages)
    close({name: first[name] + second[name] for name in first}, gradients(one))


def clips() -> list[Batch]:
    """The clips of all batches, each alone."""
    whole = joined(batches())
    sides = [(side.pack().split(side.lengths.tolist()), side.lengths) for side in (whole.video, whole.text)]
    return [
        Batch(*(Padded(rows[number][None], lengths[number : number + 1]) for rows, lengths in sides))
        for number in range(len(whole))
    ]


def test_statistics_are_held_and_let_go() -> None:
    norm = nn.BatchNorm1d(4, momentum=0.3)
    before = {name: tensor.clone() for name, tensor in norm.named_buffers()}
    with freeze_running_statistics(norm):
        held = norm(torch.randn(9, 4) + 5)
    assert float(held.mean().detach()) == pytest.approx(0, abs=1e-5), "it normalises by the batch all the same"
    assert all(torch.equal(norm.get_buffer(name), tensor) for name, tensor in before.items())
    norm(torch.randn(9, 4) + 5)
    assert norm.momentum == 0.3 and int(norm.num_batches_tracked) == 1
    assert not torch.equal(norm.running_mean, before["running_mean"])
