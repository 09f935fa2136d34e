"""What the loop knows of a model: a Stage. Nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from glossfree.padded import Padded

Losses = dict[str, Tensor]


class Stage(Protocol):
    """A module that maps a batch to named losses, and says what of it trains."""

    name: str
    unit: str  # of its speed: frames, segments or sentences

    @property
    def compares_clips(self) -> bool:
        """Whether a loss of it compares the clips of a step, in whatever batches they come."""

    def __call__(self, batch: Any) -> Losses:
        """Named scalar losses of a step that is one batch; the one that is minimised is called "loss"."""

    def separable(self, batch: Any) -> tuple[Losses, dict[str, tuple[Tensor | Padded, ...]]]:
        """A batch -> the losses that are means over its clips, and what of each clip each joint loss compares."""

    def joint(self, compared: dict[str, tuple[Tensor | Padded, ...]]) -> Losses:
        """What is compared, of all clips of the step -> the losses that need them all."""

    def total(self, losses: Losses) -> Tensor:
        """Both kinds of losses -> the one that is minimised; linear in each of them."""

    def units(self, batch: Any) -> dict[str, float]:
        """How much a batch counts in a step of several, for each separable loss: what that is a mean over."""

    def set_training(self) -> None:
        """Training mode for what trains, evaluation mode for what is frozen as a whole."""

    def trained(self) -> dict[str, nn.Parameter]:
        """Exactly the parameters that this stage changes, by name."""

    def part_of(self, name: str) -> str:
        """The part of the model that a trained parameter belongs to; the name of an objective for those of its own."""

    def saved(self) -> dict[str, Tensor]:
        """What a checkpoint of this stage must hold: trained parameters and running statistics, by name."""


def frames_in(batch: Any) -> int:
    """Frames in a batch; tokens where it holds sentences."""
    return int(batch.lengths.sum())


class Loader(Protocol):
    """An epoch in steps and batches, told which epoch before it is read."""

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Go to an epoch, past its first `position` steps."""

    def steps(self) -> Iterator[Sequence[Any]]:
        """What the optimiser sees at once, in one batch or several; none where nothing of a step could be read."""

    def num_steps(self, epochs: int) -> int:
        """Steps of the epochs 0 .. epochs-1 together."""

    def skipped(self) -> list[str]:
        """Ids of what this process could not read so far, and has left out."""

    def __iter__(self) -> Iterator[Any]:
        """The same epoch batch by batch."""

    def __len__(self) -> int:
        """Batches of the epoch."""


@runtime_checkable
class MeasuredLoader(Protocol):
    """What a Loader has besides, if it knows all lengths before it reads: what time and memory are estimated from."""

    def frames(self) -> int:
        """Frames of an epoch, for all processes together."""

    def largest_batch(self) -> int:
        """Frames of the largest batch that this process may get in any epoch."""
