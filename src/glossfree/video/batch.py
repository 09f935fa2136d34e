"""The one batch type that flows from the loader into every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from glossfree.video.resample import resample

Level = Literal["frames", "backbone_features", "frame_features", "segment_features"]


@dataclass(frozen=True)
class ClipBatch:
    """B clips, **packed**: neither the vision backbone nor BatchNorm ever sees padding.

    `frames` holds the rows of all clips one after another, N = sum of `lengths`:
    (N, 3, H, W) uint8 RGB at level "frames"; (N, any width) float at the levels "backbone_features" (before the
    linear layer and BatchNorm), "frame_features" and "segment_features", which were computed before (what is frozen
    runs once, not once per epoch).
    `labels` (B, L) int64, -100 = ignored, or None. `targets`: what else objectives need, by name, (B, ...).
    With `views` (B, 2, 3) the frames are as they were decoded, (N, H, W, 3): `to` crops them to `crop_size` pixels on
    the device that they go to, each clip by its own affine map (see `resample`).
    """

    ids: tuple[str, ...]
    frames: Tensor
    lengths: Tensor
    texts: tuple[str, ...]
    labels: Tensor | None = None
    level: Level = "frames"
    views: Tensor | None = None
    crop_size: int = 0
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames.shape[0] != int(self.lengths.sum()):
            raise ValueError(f"{self.frames.shape[0]} rows do not make lengths {self.lengths.tolist()}")

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> ClipBatch:
        """The same batch in memory that an accelerator can read while this process goes on (a loader calls it)."""
        return replace(
            self,
            frames=self.frames.pin_memory(),
            labels=None if self.labels is None else self.labels.pin_memory(),
            targets={name: target.pin_memory() for name, target in self.targets.items()},
        )

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same batch on another device (without blocking where memory is pinned), cropped if it was not."""

        frames = self.frames.to(device, non_blocking=True)
        if self.views is not None:
            frames = resample(frames, self.lengths, self.views, self.crop_size)
        return replace(
            self,
            views=None,
            frames=frames,
            lengths=self.lengths.to(device, non_blocking=True),
            labels=None if self.labels is None else self.labels.to(device, non_blocking=True),
            targets={name: target.to(device, non_blocking=True) for name, target in self.targets.items()},
        )
