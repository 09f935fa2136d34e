"""A step's batches -> its losses and gradients, as if they had been one batch.

A step of more frames than fit into memory comes in several batches. Losses that are means (over clips, or over tokens:
`Stage.weight`) are averaged by what they are means over. A loss that compares clips with each other (eq 4) cannot be
put together from batches: a `JointStage` names it, and its steps go through the model twice (GradCache, Gao et al.
2021). The first pass, without gradients, gives what is compared; the joint loss of the whole step then gives its
gradient; the second pass, with the same dropout, carries that on to the weights. Only BatchNorm knows the difference:
in training its statistics are those of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from glossfree.training.stage import JointStage, Losses, Stage


class Precision(Protocol):
    """What `accelerate.Accelerator` brings: in what precision to go forward, and backward (in float16: scaled)."""

    scaler: Any

    def autocast(self) -> AbstractContextManager[Any]: ...

    def backward(self, loss: Tensor) -> None: ...


def losses_of(stage: Stage, batches: Sequence[Any]) -> Losses:
    """Named losses of a step. `batches`: at least one."""
    if len(batches) == 1:
        return stage(batches[0])
    shares = shares_of(stage, batches)
    if not isinstance(stage, JointStage):
        return weighted([stage(batch) for batch in batches], shares)
    seen = [stage.separable(batch) for batch in batches]
    losses = weighted([losses for losses, _ in seen], shares)
    losses |= stage.joint(*(torch.cat(parts) for parts in zip(*(compared for _, compared in seen), strict=True)))
    return {"loss": stage.total(losses), **losses}


def backward(stage: Stage, batches: Sequence[Any], precision: Precision) -> Losses:
    """Named losses of a step, and its gradients added to those of the parameters. `batches`: at least one."""
    if len(batches) == 1:
        with precision.autocast():
            losses = stage(batches[0])
        precision.backward(losses["loss"])
        return losses
    shares = shares_of(stage, batches)
    if isinstance(stage, JointStage):
        return _in_two_passes(stage, batches, shares, precision)
    found = []
    for batch, share in zip(batches, shares, strict=True):
        with precision.autocast():
            losses = stage(batch)
        precision.backward(losses["loss"] * share)
        found.append({name: value.detach() for name, value in losses.items()})
    return weighted(found, shares)


def _in_two_passes(stage: JointStage, batches: Sequence[Any], shares: Sequence[float], precision: Precision) -> Losses:
    chances, seen = [], []
    assert isinstance(stage, nn.Module)
    with torch.no_grad(), statistics_held(stage), precision.autocast():
        for batch in batches:
            chances.append(random_state())
            seen.append(stage.separable(batch))
    separable = weighted([losses for losses, _ in seen], shares)
    compared = [[part.detach().requires_grad_() for part in parts] for _, parts in seen]
    joint = stage.joint(*(torch.cat(parts) for parts in zip(*compared, strict=True)))
    total = stage.total({**separable, **joint})
    precision.backward(total)  # to what is compared, and to what the joint loss itself trains (tau)
    nothing = {name: torch.zeros_like(value) for name, value in joint.items()}
    scale = precision.scaler.get_scale() if precision.scaler is not None else 1.0
    for batch, share, chance, leaves in zip(batches, shares, chances, compared, strict=True):
        set_random_state(chance)
        with precision.autocast():
            losses, parts = stage.separable(batch)
        pulled = [
            (part * (leaf.grad / scale)).sum()
            for part, leaf in zip(parts, leaves, strict=True)
            if part.requires_grad and leaf.grad is not None
        ]
        precision.backward(torch.stack([stage.total({**losses, **nothing}) * share, *pulled]).sum())
    return {"loss": total.detach(), **separable, **{name: value.detach() for name, value in joint.items()}}


def shares_of(stage: Stage, batches: Sequence[Any]) -> list[float]:
    """The part of each batch in its step; together 1."""
    weights = [stage.weight(batch) for batch in batches]
    return [weight / sum(weights) for weight in weights]


def weighted(losses: Sequence[Losses], shares: Sequence[float]) -> Losses:
    """Named losses of batches -> of their step."""
    return {
        name: torch.stack([each[name] * share for each, share in zip(losses, shares, strict=True)]).sum()
        for name in losses[0]
    }


def random_state() -> list[Tensor]:
    """Where torch's generators stand, on the CPU and, where there is one, on this process's accelerator."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def set_random_state(state: Sequence[Tensor]) -> None:
    """Put torch's generators back to where they stood."""
    torch.set_rng_state(state[0])
    for each in state[1:]:
        torch.cuda.set_rng_state(each)


@contextmanager
def statistics_held(module: nn.Module) -> Iterator[None]:
    """BatchNorm normalises as it does, but its running statistics stay: a step that is seen twice counts once."""
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
