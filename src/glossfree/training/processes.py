"""This process among those that train together (`accelerate launch`): sums, rows and words of all of them.

With one process everything is itself, and nothing is sent. All processes must make the same calls in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, distributed, nn

from glossfree.errors import RunError


@contextmanager
def lost_explained() -> Iterator[None]:
    """Inside, another process that has ended is a RunError: what it ended for is in its own output.

    NCCL has an error of its own for it; gloo raises RuntimeError, and its name is in the text.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise RunError(
            "another of the processes that train together has ended",
            where="accelerate launch",
            remedy="its own message says why; then --resume",
        ) from error


@dataclass(frozen=True)
class Processes:
    """`size` processes, of which this is number `rank`."""

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Processes:
        """The group that this process was launched in; alone where it was not."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @classmethod
    def launched(cls) -> Processes:
        """The group that `accelerate launch` (or torchrun) started this process in, joined now; alone without one."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            PartialState()  # joins, by the device's own means (gloo on a CPU), once however often it is made
        return cls.here()

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The same tensor of each process -> their sum."""
        if self.size > 1:
            values = values.clone()
            with lost_explained():
                distributed.all_reduce(values)
        return values

    def most(self, values: Tensor) -> Tensor:
        """The same tensor of each process -> the largest of each value."""
        if self.size > 1:
            values = values.clone()
            with lost_explained():
                distributed.all_reduce(values, op=distributed.ReduceOp.MAX)
        return values

    def rows(self, own: Tensor) -> tuple[Tensor, int]:
        """(n, ...) of each process, n may differ -> (N, ...) of all, by rank, and where one's own begin."""
        if self.size == 1:
            return own, 0
        counts = torch.zeros(self.size, dtype=torch.int64, device=own.device)
        counts[self.rank] = len(own)
        numbers = self.sum(counts).tolist()
        padded = own.new_zeros(max(numbers), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in numbers]
        with lost_explained():
            distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, numbers, strict=True)]), sum(numbers[: self.rank])

    def objects(self, own: Any) -> list[Any]:
        """A plain object of each process -> those of all, by rank."""
        if self.size == 1:
            return [own]
        found: list[Any] = [None] * self.size
        with lost_explained():
            distributed.all_gather_object(found, own)
        return found

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            with lost_explained():
                distributed.barrier()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum of all processes' gradients in place of one's own; none stays none where nobody has one."""
        if self.size == 1:
            return
        chosen = list(parameters)
        there = self.sum(torch.tensor([int(p.grad is not None) for p in chosen], device=chosen[0].device)).tolist()
        moved = [p for p, count in zip(chosen, there, strict=True) if count]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in moved])
        with lost_explained():
            distributed.all_reduce(flat)
        for parameter, total in zip(moved, torch.split(flat, [p.numel() for p in moved]), strict=True):
            parameter.grad = total.view_as(parameter)
