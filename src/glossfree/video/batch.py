"""The one batch type that flows from the loader into every stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Level = Literal["frames", "frame_features", "segment_features"]


@dataclass(frozen=True)
class ClipBatch:
    """B clips, **packed**: neither the vision backbone nor BatchNorm ever sees padding.

    `frames` holds the rows of all clips one after another, N = sum of `lengths`:
    (N, 3, H, W) uint8 RGB at level "frames"; (N, D) float at the levels "frame_features" and "segment_features",
    where the features were computed before (a frozen encoder runs once, not once per epoch).
    `labels` (B, L) int64, -100 = ignored; `gloss_targets` (B, P) float multi-hot. Both are None where not needed.
    """

    ids: tuple[str, ...]
    frames: Tensor
    lengths: Tensor
    texts: tuple[str, ...]
    labels: Tensor | None = None
    gloss_targets: Tensor | None = None
    level: Level = "frames"

    def __post_init__(self) -> None:
        if self.frames.shape[0] != int(self.lengths.sum()):
            raise ValueError(f"{self.frames.shape[0]} rows do not make lengths {self.lengths.tolist()}")

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same batch on another device (without blocking where memory is pinned)."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return replace(
            self,
            frames=self.frames.to(device, non_blocking=True),
            lengths=self.lengths.to(device, non_blocking=True),
            labels=move(self.labels),
            gloss_targets=move(self.gloss_targets),
        )
