"""What the loop knows of a model: a Stage. Nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn


class Stage(Protocol):
    """A module that maps a batch to named losses, and says what of it trains.

    Written as a protocol over nn.Module, so that a new objective is one class and the loop never changes.
    """

    name: str

    def __call__(self, batch: Any) -> dict[str, Tensor]:
        """Named scalar losses; the one that is minimised is called "loss"."""

    def set_training(self) -> None:
        """Training mode for what trains, evaluation mode for what is frozen as a whole."""

    def trained(self) -> dict[str, nn.Parameter]:
        """Exactly the parameters that this stage changes, by name."""

    def saved(self) -> dict[str, Tensor]:
        """What a checkpoint of this stage must hold: trained parameters and running statistics, by name."""


def frames_in(batch: Any) -> int:
    """Frames (or tokens) in a batch: the unit of speed."""
    return int(batch.lengths.sum())


class Loader(Protocol):
    """Batches of an epoch: iterable, with a length, told the epoch before it is read."""

    def set_epoch(self, epoch: int) -> None: ...

    def __iter__(self) -> Iterator[Any]: ...

    def num_batches(self, epochs: int) -> int:
        """Batches of the epochs 0 .. epochs-1 together: they need not be equally many in each."""
