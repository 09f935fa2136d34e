"""The one batch type that flows from the loader into every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Level = Literal["frames", "backbone_features", "frame_features", "segment_features"]


@dataclass(frozen=True)
class ClipBatch:
    """B clips, **packed**: neither the vision backbone nor BatchNorm ever sees padding.

    `frames` holds the rows of all clips one after another, N = sum of `lengths`:
    (N, 3, H, W) uint8 RGB at level "frames"; (N, any width) float at the levels "backbone_features" (before the
    linear layer and BatchNorm), "frame_features" and "segment_features", which were computed before (what is frozen
    runs once, not once per epoch).
    `labels` (B, L) int64, -100 = ignored, or None. `targets`: what else objectives need, by name, (B, ...).
    With `views` (B, 2, 3) the frames are as they were decoded, (N, H, W, 3): `cropped` makes crops of `crop_size`
    pixels of them, each clip by its own affine map (see `resample`).
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

    def prepared(self, device: torch.device | str) -> ClipBatch:
        """The batch as the model takes it: on its device, and cropped there if the loader's workers did not crop it."""
        return self.to(device).cropped()

    def cropped(self) -> ClipBatch:
        """Frames cropped and augmented by the views that were drawn for them; the batch itself where there are none."""
        if self.views is None:
            return self
        frames = resample(self.frames, self.lengths, self.views, self.crop_size)
        return replace(self, frames=frames, views=None, crop_size=0)

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same batch on another device, without blocking where memory is pinned; views stay in main memory."""
        return replace(
            self,
            frames=self.frames.to(device, non_blocking=True),
            lengths=self.lengths.to(device, non_blocking=True),
            labels=None if self.labels is None else self.labels.to(device, non_blocking=True),
            targets={name: target.to(device, non_blocking=True) for name, target in self.targets.items()},
        )


FRAMES_AT_ONCE = 64  # as float32 and of 256 x 256 pixels they are 50 MB


def resample(frames: Tensor, lengths: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Frames (N, H, W, 3) uint8, lengths (B,), matrices (B, 2, 3) -> (N, 3, size, size) uint8, on the frames' device.

    A matrix takes a pixel of the crop to a pixel of the frame, for all frames of one clip. A whole-pixel crop inside
    the frame is a slice, bit for bit; anything else is bilinear, edges replicated. `matrices` lie in main memory.
    Raises ValueError on any other kind of frames.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"frames (N,H,W,3) uint8 expected, got {tuple(frames.shape)} {frames.dtype}")
    result = frames.new_empty(len(frames), 3, size, size)
    start = 0
    for length, matrix in zip(lengths.tolist(), matrices.double(), strict=True):
        clip, target = frames[start : start + length], result[start : start + length]
        start += length
        corner = _whole_pixel_corner(matrix, clip.shape, size)
        if corner is None:
            _warp(clip, matrix, target)
        else:
            left, top = corner
            target.copy_(clip[:, top : top + size, left : left + size].permute(0, 3, 1, 2))
    return result


def _whole_pixel_corner(matrix: Tensor, shape: torch.Size, size: int) -> tuple[int, int] | None:
    """Left and top of a crop that moves by whole pixels and lies inside the frame, else None."""
    left, top = (int(value) for value in matrix[:, 2].floor())
    if not torch.equal(matrix, matrix.new_tensor([[1, 0, left], [0, 1, top]])):
        return None
    inside = 0 <= left <= shape[2] - size and 0 <= top <= shape[1] - size
    return (left, top) if inside else None


def _warp(clip: Tensor, matrix: Tensor, target: Tensor) -> None:
    """One clip (T, H, W, 3) into target (T, 3, size, size): the map is worked out once for all planes of all frames."""
    height, width = clip.shape[1:3]
    steps = torch.arange(target.shape[-1], dtype=torch.float64)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    source = torch.stack((x, y, torch.ones_like(x)), dim=-1) @ matrix.T
    # grid_sample's own scale: the outer edges of the outermost pixels are -1 and 1
    grid = ((2 * source + 1) / source.new_tensor([width, height]) - 1).float().to(clip.device)[None]
    for first in range(0, len(clip), FRAMES_AT_ONCE):
        part = clip[first : first + FRAMES_AT_ONCE].permute(0, 3, 1, 2).float()
        planes = functional.grid_sample(
            part.flatten(0, 1)[None], grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        target[first : first + FRAMES_AT_ONCE] = planes.view(len(part), 3, *target.shape[-2:]).round()
