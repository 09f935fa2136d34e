"""A step's batches -> its losses and gradients, as if they had been one batch.

A step of more frames than fit into memory comes in several batches, and several processes share it. Losses that are
means (over clips, or over tokens: `Stage.weight`) are averaged by what they are means over. A loss that compares clips
with each other (eq 4) cannot be put together from batches: a `JointStage` names it. What is compared is gathered first,
from all batches of all processes; the joint loss of the whole step then gives its gradient, and each batch carries its
own part on to the weights. Of several batches no graph can be kept, so they go through the model twice, with the same
dropout (GradCache, Gao et al. 2021). Only BatchNorm knows the difference: in training its statistics are those of the
batches that are computed at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from glossfree.errors import RunError
from glossfree.training.processes import Processes
from glossfree.training.stage import JointStage, Losses, Stage

ALONE = Processes()


class Precision(Protocol):
    """What `accelerate.Accelerator` brings: in what precision to go forward, and backward (in float16: scaled)."""

    scaler: Any

    def autocast(self) -> AbstractContextManager[Any]: ...

    def backward(self, loss: Tensor) -> None: ...


def losses_of(stage: Stage, batches: Sequence[Any]) -> Losses:
    """Named losses of a step that one process has alone. `batches`: at least one. Raises RunError as `backward`."""
    _refuse_one_clip(stage, batches)
    if len(batches) == 1:
        return stage(batches[0])
    shares = shares_of(stage, batches)
    if not isinstance(stage, JointStage):
        return weighted([stage(batch) for batch in batches], shares)
    seen = [stage.separable(batch) for batch in batches]
    losses = weighted([losses for losses, _ in seen], shares)
    losses |= stage.joint(*(torch.cat(parts) for parts in zip(*(compared for _, compared in seen), strict=True)))
    return {"loss": stage.total(losses), **losses}


def backward(stage: Stage, batches: Sequence[Any], precision: Precision, group: Processes = ALONE) -> Losses:
    """Named losses of a step that all processes of `group` share; its gradients are added to those of the parameters,
    to be summed over the processes. `batches`: at least one in each process, equally many in all.

    Raises RunError if the stage compares clips and the step has one only, which it names."""
    if group.size == 1:  # of several processes each has a clip
        _refuse_one_clip(stage, batches)
    if group.size == len(batches) == 1:
        with precision.autocast():
            losses = stage(batches[0])
        precision.backward(losses["loss"])
        return losses
    shares = shares_of(stage, batches, group)
    if isinstance(stage, JointStage):
        return _joint_step(stage, batches, shares, precision, group)
    found = []
    for batch, share in zip(batches, shares, strict=True):
        with precision.autocast():
            losses = stage(batch)
        precision.backward(losses["loss"] * share)
        found.append({name: value.detach() for name, value in losses.items()})
    return summed(weighted(found, shares), group)


def _joint_step(
    stage: JointStage, batches: Sequence[Any], shares: Sequence[float], precision: Precision, group: Processes
) -> Losses:
    assert isinstance(stage, nn.Module)
    twice = len(batches) > 1
    chances, seen = [], []
    with ExitStack() as first_pass:
        if twice:  # else its graph is kept, and there is no second pass
            first_pass.enter_context(torch.no_grad())
            first_pass.enter_context(statistics_held(stage))
        first_pass.enter_context(precision.autocast())
        for batch in batches:
            chances.append(random_state())
            seen.append(stage.separable(batch))
    separable = weighted([{name: value.detach() for name, value in losses.items()} for losses, _ in seen], shares)
    separable = summed(separable, group)
    compared = [Compared([parts[number].detach() for _, parts in seen], group) for number in range(len(seen[0][1]))]
    joint = stage.joint(*(each.rows for each in compared))
    total = stage.total({**separable, **joint})
    # to what is compared, and to what the joint loss itself trains (tau), here as in every other process
    precision.backward(total / group.size)
    nothing = {name: torch.zeros_like(value) for name, value in joint.items()}
    scale = (precision.scaler.get_scale() if precision.scaler is not None else 1.0) / group.size
    for number, (batch, share) in enumerate(zip(batches, shares, strict=True)):
        losses, parts = seen[number]
        if twice:
            set_random_state(chances[number])
            with precision.autocast():
                losses, parts = stage.separable(batch)
        pulled = [
            (part * (each.gradients()[number] / scale)).sum()
            for part, each in zip(parts, compared, strict=True)
            if part.requires_grad
        ]
        precision.backward(torch.stack([stage.total({**losses, **nothing}) * share, *pulled]).sum())
    return {"loss": total.detach(), **separable, **{name: value.detach() for name, value in joint.items()}}


class Compared:
    """What is compared of each clip: `rows` of all batches of all processes, and the gradient of those of this one."""

    def __init__(self, parts: Sequence[Tensor], group: Processes) -> None:
        self.sizes = [len(part) for part in parts]
        rows, self.start = group.rows(torch.cat(list(parts)))
        self.rows = rows.detach().requires_grad_()

    def gradients(self) -> tuple[Tensor, ...]:
        """The gradient of each batch of this process."""
        assert self.rows.grad is not None
        return torch.split(self.rows.grad[self.start : self.start + sum(self.sizes)], self.sizes)


def _refuse_one_clip(stage: Stage, batches: Sequence[Any]) -> None:
    if sum(map(len, batches)) == 1 and isinstance(stage, JointStage):
        clip = next(clip for batch in batches for clip in batch.ids)
        raise RunError(
            f"clip {clip} is alone in its step, with no other to compare it with (eq 4)",
            where=stage.name,
            remedy="drop from manifest.jsonl the clips that cannot be read, or train with larger steps, in a new run",
        )


def shares_of(stage: Stage, batches: Sequence[Any], group: Processes = ALONE) -> list[float]:
    """The part of each batch in its step; together, over all processes, 1."""
    weights = [stage.weight(batch) for batch in batches]
    total = float(group.sum(torch.tensor(sum(weights), dtype=torch.float64, device=batches[0].lengths.device)))
    return [weight / total for weight in weights]


def summed(losses: Losses, group: Processes) -> Losses:
    """Named scalars of each process -> their sums."""
    if group.size == 1:
        return losses
    return dict(zip(losses, group.sum(torch.stack(list(losses.values()))), strict=True))


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
