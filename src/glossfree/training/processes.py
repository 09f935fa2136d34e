"""This process among those that train together (`accelerate launch`): sums, rows and objects of all of them.

A single process sends nothing. All processes must make the same calls in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from glossfree.errors import RunError


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Inside, another process that has ended is a RunError.

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
        """The group of this process; a single process without one."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @classmethod
    def launched(cls) -> Processes:
        """Join the group that `accelerate launch` (or torchrun) started this process in -> that group."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState  # a translation needs none

            PartialState()  # joins by the device's backend (gloo on a CPU), once however often it is made
        return cls.here()

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and lines."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The same tensor of each process -> their sum."""
        return self._reduced(values, "SUM")

    def numbers(self, own: Sequence[float], operation: str = "SUM") -> list[Any]:
        """Numbers of each process -> their sums, or the largest ones ("MAX"). A single process waits for no device."""
        if self.size == 1:
            return list(own)
        kind = torch.float64 if any(isinstance(each, float) for each in own) else torch.int64
        device = "cuda" if "nccl" in distributed.get_backend() else "cpu"
        return self._reduced(torch.tensor(own, dtype=kind, device=device), operation).tolist()

    def _reduced(self, values: Tensor, operation: str) -> Tensor:
        if self.size > 1:
            values = values.clone()
            with explain_lost_process():
                distributed.all_reduce(values, op=getattr(distributed.ReduceOp, operation))
        return values

    def rows(self, own: Tensor) -> tuple[Tensor, int]:
        """(n, ...) of each process, n may differ -> (N, ...) of all, by rank, and the index of one's own first row."""
        if self.size == 1:
            return own, 0
        counts = torch.zeros(self.size, dtype=torch.int64, device=own.device)
        counts[self.rank] = len(own)
        numbers = self.sum(counts).tolist()
        padded = own.new_zeros(max(numbers), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in numbers]
        with explain_lost_process():
            distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, numbers, strict=True)]), sum(numbers[: self.rank])

    def objects(self, own: Any) -> list[Any]:
        """A plain object of each process -> those of all, by rank."""
        if self.size == 1:
            return [own]
        objects: list[Any] = [None] * self.size
        with explain_lost_process():
            distributed.all_gather_object(objects, own)
        return objects

    def wait(self) -> None:
        """Return when all processes have called this."""
        if self.size > 1:
            with explain_lost_process():
                distributed.barrier()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sums over all processes; where no process has one it stays None."""
        if self.size == 1:
            return
        trained = list(parameters)
        has_gradient = torch.tensor([int(p.grad is not None) for p in trained], device=trained[0].device)
        counts = self.sum(has_gradient).tolist()
        used = [p for p, count in zip(trained, counts, strict=True) if count]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used])
        with explain_lost_process():
            distributed.all_reduce(flat)
        for parameter, total in zip(used, torch.split(flat, [p.numel() for p in used]), strict=True):
            parameter.grad = total.view_as(parameter)
