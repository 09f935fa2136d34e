"""Stages and a loader small enough to train in milliseconds, with all that can go wrong in a large one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from glossfree.padded import Padded
from glossfree.training.loop import Plan
from glossfree.training.run import Run

PLAN = Plan(epochs=4, learning_rate=0.05, weight_decay=0.01, warmup=0.8, max_grad_norm=1.0, seed=3)


@dataclass(frozen=True)
class Batch:
    ids: tuple[str, ...]
    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def prepared(self, device: torch.device | str) -> Batch:
        return Batch(self.ids, self.values.to(device), self.lengths)


class Loader:
    """Batches of 2, 2 and 1 clips, another order every epoch; may break off, as a killed process would."""

    def __init__(
        self, breaks_at: tuple[int, int] | None = None, bad: str = "", before: tuple[int, int] = (0, 0)
    ) -> None:
        self.before, self.left_out = before, list[str]()
        self.epoch, self.position, self.breaks_at, self.bad = 0, 0, breaks_at, bad
        source = torch.Generator().manual_seed(1)
        self.values = {name: torch.randn(7, generator=source) for name in "abcde"}

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        self.epoch, self.position = epoch, position

    def __len__(self) -> int:
        return 3

    def num_steps(self, epochs: int) -> int:
        return 3 * epochs

    def skipped(self) -> list[str]:
        return self.left_out

    def steps(self) -> Iterator[list[Batch]]:
        for batch in self:
            yield [batch]

    def __iter__(self) -> Iterator[Batch]:
        names = "abcde"[self.epoch % 5 :] + "abcde"[: self.epoch % 5]
        for number, chosen in enumerate((names[:2], names[2:4], names[4:])):
            if number < self.position:
                continue
            assert (self.epoch, number) >= self.before
            if self.breaks_at == (self.epoch, number):
                raise KeyboardInterrupt
            values = torch.stack([self.values[name] for name in chosen])
            if self.bad in chosen and self.bad:
                values = values * float("nan")
            yield Batch(tuple(chosen), values, torch.full((len(chosen),), 7))


class Separable(nn.Module):
    """A stage of one loss, a mean over clips, that compares none with each other."""

    name = "separable"
    unit = "frames"
    compares_clips = False

    def error(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        losses, _ = self.separable(batch)
        return {"loss": self.total(losses), **losses}

    def separable(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor | Padded, ...]]]:
        return {"half": self.error(batch) / 2}, {}

    def joint(self, compared: dict[str, tuple[Tensor | Padded, ...]]) -> dict[str, Tensor]:
        return {}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        return 2 * losses["half"]

    def units(self, batch: Batch) -> dict[str, float]:
        return {"half": float(len(batch))}

    def set_training(self) -> None:
        self.train()

    def trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def part_of(self, name: str) -> str:
        return name.rsplit(".", 1)[0]

    def saved(self) -> dict[str, Tensor]:
        return {**self.trained(), **dict(self.named_buffers())}


class Toy(Separable):
    """Dropout and BatchNorm: random states and running statistics, both of which a checkpoint must not lose."""

    name = "toy"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Dropout(0.4), nn.Linear(5, 3))
        self.layers[0].bias.requires_grad_(False)

    def error(self, batch: Batch) -> Tensor:
        values = batch.values.repeat(2, 1) if len(batch) == 1 else batch.values
        return (self.layers(values) - 1).square().mean()


class Growing(Separable):
    """Training drives w up; validation wants it small: the first epoch is the best."""

    name = "growing"

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.25]))

    def error(self, batch: Batch) -> Tensor:
        return -self.w.sum() if self.training else self.w.square().sum()


def a_run(folder: Path) -> Run:
    run = Run(folder)
    if not run.recipe.exists():
        run.start("", {}, resume=False)
    return run


def without_seconds(run: Run) -> list[dict[str, object]]:
    times = ("seconds", "processor_seconds", "waited")
    return [{key: value for key, value in record.items() if key not in times} for record in run.records()]
