"""The batches of a step -> its losses and gradients, as if they were one batch.

A step of more frames than fit into memory comes in several batches, and several processes share it. Losses that are
means (over clips or tokens: `Stage.units`) are averaged by what they are means over. A loss that compares clips with
each other (eq 4) needs all of them: what it compares is gathered from all batches of all processes first; the joint
losses give its gradient, which each batch then propagates to the weights. Graphs of several batches are not kept, so
these go through the model twice, with the same dropout (GradCache, Gao et al. 2021). BatchNorm alone differs: in
training it normalises over the batch that is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from glossfree.errors import RunError
from glossfree.padded import Padded
from glossfree.training.processes import Processes
from glossfree.training.stage import Losses, Stage

SINGLE = Processes()
Shares = dict[str, float]  # of a batch in its step, for each separable loss


class Precision(Protocol):
    """What the step uses of `accelerate.Accelerator`: precision of the forward pass, backward pass (scaled in fp16)."""

    scaler: Any

    def autocast(self) -> AbstractContextManager[Any]: ...

    def backward(self, loss: Tensor) -> None: ...


def losses_of(stage: Stage, batches: Sequence[Any]) -> Losses:
    """Named losses of a step in a single process. `batches`: at least one. Raises RunError as `backward`."""
    _check_several_clips(stage, batches)
    if len(batches) == 1:
        return stage(batches[0])
    outputs = [stage.separable(batch) for batch in batches]
    losses = weighted([losses for losses, _ in outputs], shares_of(stage, batches))
    compared = {
        name: tuple(joined(parts) for parts in zip(*(features[name] for _, features in outputs), strict=True))
        for name in outputs[0][1]
    }
    losses |= stage.joint(compared)
    return {"loss": stage.total(losses), **losses}


def backward(stage: Stage, batches: Sequence[Any], precision: Precision, group: Processes = SINGLE) -> Losses:
    """Named losses of a step that all processes of `group` share; each adds its part of the gradients to parameters.

    `batches`: at least one in each process, equally many in all. Raises RunError if the stage compares clips and the
    step has a single one.
    """
    if group.size == 1:  # each of several processes has a clip
        _check_several_clips(stage, batches)
    if group.size == len(batches) == 1:
        with precision.autocast():
            losses = stage(batches[0])
        precision.backward(losses["loss"])
        return losses
    shares = shares_of(stage, batches, group)
    if stage.compares_clips:
        return _joint_step(stage, batches, shares, precision, group)
    outputs = []
    for batch, share in zip(batches, shares, strict=True):
        with precision.autocast():
            losses, _ = stage.separable(batch)
        precision.backward(stage.total(scaled(losses, share)))
        outputs.append({name: value.detach() for name, value in losses.items()})
    losses = summed(weighted(outputs, shares), group)
    return {"loss": stage.total(losses), **losses}


def _joint_step(
    stage: Stage, batches: Sequence[Any], shares: Sequence[Shares], precision: Precision, group: Processes
) -> Losses:
    assert isinstance(stage, nn.Module)
    twice = len(batches) > 1
    random_states, outputs = [], []
    with ExitStack() as first_pass:
        if twice:  # a single batch keeps its graph, without a second pass
            first_pass.enter_context(torch.no_grad())
            first_pass.enter_context(freeze_running_statistics(stage))
        first_pass.enter_context(precision.autocast())
        for batch in batches:
            random_states.append(random_state())
            outputs.append(stage.separable(batch))
    separable = weighted([{name: value.detach() for name, value in losses.items()} for losses, _ in outputs], shares)
    separable = summed(separable, group)
    compared = {
        name: [Compared(parts, group) for parts in zip(*(features[name] for _, features in outputs), strict=True)]
        for name in outputs[0][1]
    }
    joint = stage.joint({name: tuple(each.features for each in parts) for name, parts in compared.items()})
    total = stage.total({**separable, **joint})
    # gradients of what is compared, and of the joint losses' own parameters (tau), equal in every process
    precision.backward(total / group.size)
    scale = (precision.scaler.get_scale() if precision.scaler is not None else 1.0) / group.size
    for number, (batch, share) in enumerate(zip(batches, shares, strict=True)):
        losses, features = outputs[number]
        if twice:
            set_random_state(random_states[number])
            with precision.autocast():
                losses, features = stage.separable(batch)
        pulled = [
            (rows_of(part) * (gradient / scale)).sum()
            for name, parts in compared.items()
            for part, each in zip(features[name], parts, strict=True)
            if rows_of(part).requires_grad and (gradient := each.gradient(number)) is not None
        ]
        own = [stage.total(scaled(losses, share))] if losses else []
        terms = [term for term in (*own, *pulled) if term.requires_grad]
        if terms:  # none if only the joint losses' own parameters train
            precision.backward(torch.stack(terms).sum())
    return {"loss": total.detach(), **separable, **{name: value.detach() for name, value in joint.items()}}


class Compared:
    """What is compared of each clip: `features` of all batches and processes, and the gradients of one's own batches.

    A ragged part, Padded (B, L, D), is gathered as its real rows (sum of L, D).
    """

    def __init__(self, parts: Sequence[Tensor | Padded], group: Processes) -> None:
        own = [rows_of(part).detach() for part in parts]
        self.sizes = [len(rows) for rows in own]
        rows, self.start = group.rows(torch.cat(own))
        self.rows = rows.detach().requires_grad_(rows.is_floating_point())
        self.features: Tensor | Padded = self.rows
        lengths = [part.lengths for part in parts if isinstance(part, Padded)]
        if lengths:
            self.features = Padded.unpack(self.rows, group.rows(torch.cat(lengths))[0])

    def gradient(self, number: int) -> Tensor | None:
        """The gradient of a batch of this process; None if the loss does not depend on it."""
        if self.rows.grad is None:
            return None
        return torch.split(self.rows.grad[self.start : self.start + sum(self.sizes)], self.sizes)[number]


def rows_of(part: Tensor | Padded) -> Tensor:
    """A compared part of a batch -> its rows, one clip after another."""
    return part.pack() if isinstance(part, Padded) else part


def joined(parts: Sequence[Tensor | Padded]) -> Tensor | Padded:
    """A compared part of each batch -> of their step."""
    rows = torch.cat([rows_of(part) for part in parts])
    lengths = [part.lengths for part in parts if isinstance(part, Padded)]
    return Padded.unpack(rows, torch.cat(lengths)) if lengths else rows


def _check_several_clips(stage: Stage, batches: Sequence[Any]) -> None:
    if stage.compares_clips and sum(map(len, batches)) == 1:
        clip = next(clip for batch in batches for clip in batch.ids)
        raise RunError(
            f"clip {clip} is the only one of its step: there is no other to compare it with",
            where=stage.name,
            remedy="in a new run, train with larger steps, or remove clips that cannot be read from manifest.jsonl",
        )


def shares_of(stage: Stage, batches: Sequence[Any], group: Processes = SINGLE) -> list[Shares]:
    """The share of each batch in its step, for each separable loss; they sum to 1 over all processes."""
    units = [stage.units(batch) for batch in batches]
    if not units[0]:
        return [{} for _ in batches]
    own = [math.fsum(each[name] for each in units) for name in units[0]]
    totals = group.numbers(own)
    # no unit in the whole step (no token): all shares are 0
    return [{name: each[name] / (total or 1.0) for name, total in zip(each, totals, strict=True)} for each in units]


def summed(losses: Losses, group: Processes) -> Losses:
    """Named scalars of each process -> their sums."""
    if group.size == 1 or not losses:
        return losses
    return dict(zip(losses, group.sum(torch.stack(list(losses.values()))), strict=True))


def scaled(losses: Losses, share: Shares) -> Losses:
    """Named losses of a batch -> each times its share of the step."""
    return {name: loss * share[name] for name, loss in losses.items()}


def weighted(losses: Sequence[Losses], shares: Sequence[Shares]) -> Losses:
    """Named losses of batches -> of their step."""
    parts = [scaled(each, share) for each, share in zip(losses, shares, strict=True)]
    return {name: torch.stack([part[name] for part in parts]).sum() for name in losses[0]}


def random_state() -> list[Tensor]:
    """The states of torch's random generators, of the CPU and of this process's accelerator if there is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def set_random_state(state: Sequence[Tensor]) -> None:
    """Restore the states of torch's random generators."""
    torch.set_rng_state(state[0])
    for each in state[1:]:
        torch.cuda.set_rng_state(each)


@contextmanager
def freeze_running_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm does not update its running statistics: a step that is computed twice counts once."""
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.training]
    before = [(each.momentum, each.num_batches_tracked) for each in norms]
    for each in norms:
        each.momentum = 0.0
        each.num_batches_tracked = None if each.num_batches_tracked is None else each.num_batches_tracked.clone()
    try:
        yield
    finally:
        for each, (momentum, count) in zip(norms, before, strict=True):
            each.momentum, each.num_batches_tracked = momentum, count
