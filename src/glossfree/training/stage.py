"""What the loop knows of a model and its data: a Stage and a Loader."""

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
        """Whether a loss compares the clips of a step with each other."""

    def __call__(self, batch: Any) -> Losses:
        """Named scalar losses of a step that is one batch; the one that is minimised is called "loss"."""

    def separable(self, batch: Any) -> tuple[Losses, dict[str, tuple[Tensor | Padded, ...]]]:
        """A batch -> the losses that are means over its clips, and what of each clip each joint loss compares."""

    def joint(self, compared: dict[str, tuple[Tensor | Padded, ...]]) -> Losses:
        """What is compared, of all clips of the step -> the losses that need them all."""

    def total(self, losses: Losses) -> Tensor:
        """Losses of both kinds -> the one that is minimised; linear in each of them."""

    def units(self, batch: Any) -> dict[str, float]:
        """For each separable loss, the number of clips or tokens of a batch that it is a mean over."""

    def set_training(self) -> None:
        """Training mode for what trains, evaluation mode for parts that are frozen."""

    def trained(self) -> dict[str, nn.Parameter]:
        """Exactly the parameters that this stage changes, by name."""

    def part_of(self, name: str) -> str:
        """The part of the model, or the objective, that a trained parameter belongs to."""

    def saved(self) -> dict[str, Tensor]:
        """What a checkpoint of this stage must hold: trained parameters and running statistics, by name."""


def frames_in(batch: Any) -> int:
    """Frames in a batch; tokens where it holds sentences."""
    return int(batch.lengths.sum())


class Loader(Protocol):
    """The steps and batches of one epoch at a time."""

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Go to an epoch, past its first `position` steps."""

    def steps(self) -> Iterator[Sequence[Any]]:
        """The batches of each step of the optimiser; [] if nothing of a step could be read."""

    def num_steps(self, epochs: int) -> int:
        """Steps of the epochs 0 .. epochs-1 together."""

    def skipped(self) -> list[str]:
        """Ids of what this process could not read so far."""

    def __iter__(self) -> Iterator[Any]:
        """The same epoch batch by batch."""

    def __len__(self) -> int:
        """Batches of the epoch."""


@runtime_checkable
class MeasuredLoader(Protocol):
    """A Loader that knows all lengths in advance: time and memory are estimated from them."""

    def frames(self) -> int:
        """Frames of an epoch, for all processes together."""

    def largest_batch(self) -> int:
        """Frames of the largest batch that this process may get in any epoch."""
