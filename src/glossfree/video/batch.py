"""The one batch type that flows from the loader into every stage, and its crop on an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glossfree.errors import ClipError

Level = Literal["frames", "backbone_features", "frame_features", "segment_features"]
IGNORED = -100  # a label that no loss counts
FRAMES_AT_ONCE = 64  # as float32 and of 256 x 256 pixels they are 50 MB


@dataclass(frozen=True)
class ClipBatch:
    """B clips, **packed**: neither the vision backbone nor BatchNorm ever sees padding.

    `frames` holds the rows of all clips, concatenated, N = sum of `lengths`: (N, 3, H, W) uint8 RGB at level
    "frames"; (N, any width) float at "backbone_features" (before the linear layer and BatchNorm), "frame_features" and
    "segment_features", which are precomputed: frozen layers run once, not once per epoch.
    `labels` (B, L) int64, -100 = ignored, or None. `targets` (B, ...) by name: whatever else objectives need.
    `keypoints` (N, J, 3) of the rows, for a model that reads them: x and y in fractions of the crop, confidence.
    With `views` (B, 2, 3) the frames are uncropped, (N, H, W, 3): `prepared` crops them to `crop_size` pixels, each
    clip with its own affine map. `lengths` and `views` are always in main memory, where reading them waits for nothing.
    `origin`: the batch in main memory that this one was moved from.
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
    keypoints: Tensor | None = None
    origin: ClipBatch | None = None

    def __post_init__(self) -> None:
        if self.frames.shape[0] != int(self.lengths.sum()):
            raise ValueError(f"{self.frames.shape[0]} rows do not match lengths {self.lengths.tolist()}")
        if self.keypoints is not None and len(self.keypoints) != len(self.frames):
            raise ValueError(f"{len(self.keypoints)} keypoints do not match {len(self.frames)} rows")

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> ClipBatch:
        """The same batch in pinned memory, from which it moves without blocking; the loader calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def prepared(self, device: torch.device | str) -> ClipBatch:
        """The batch as the model takes it: on its device and cropped."""
        batch = replace(self._map(lambda tensor: tensor.to(device, non_blocking=True)), origin=self.origin or self)
        if self.views is None:
            return batch
        frames = resample(batch.frames, self.lengths, self.views, self.crop_size)
        return replace(batch, frames=frames, views=None, crop_size=0)

    def _map(self, move: Callable[[Tensor], Tensor]) -> ClipBatch:
        """The batch with its large tensors moved: frames, labels, keypoints and targets."""
        return replace(
            self,
            frames=move(self.frames),
            labels=None if self.labels is None else move(self.labels),
            keypoints=None if self.keypoints is None else move(self.keypoints),
            targets={name: move(target) for name, target in self.targets.items()},
        )


def collate(items: Sequence[ClipBatch | ClipError | None]) -> ClipBatch | ClipError:
    """Single clips, batches of B = 1 -> one batch: rows one clip after another, labels padded with -100.

    Skipped clips (None) are dropped; if all are, B = N = 0. If there is a ClipError, the first one is returned instead.
    """
    if error := next((item for item in items if isinstance(item, ClipError)), None):
        return error
    clips = [item for item in items if isinstance(item, ClipBatch)]
    if not clips:
        return ClipBatch((), torch.empty(0, 3, 0, 0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), ())
    labels = [clip.labels[0] for clip in clips if clip.labels is not None]
    keypoints = [clip.keypoints for clip in clips if clip.keypoints is not None]
    views = [clip.views for clip in clips if clip.views is not None]
    return ClipBatch(
        ids=tuple(name for clip in clips for name in clip.ids),
        frames=_joined([clip.frames for clip in clips]),
        lengths=torch.cat([clip.lengths for clip in clips]),
        texts=tuple(text for clip in clips for text in clip.texts),
        labels=torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED) if labels else None,
        level=clips[0].level,
        views=torch.cat(views) if views else None,
        crop_size=clips[0].crop_size,
        keypoints=torch.cat(keypoints) if keypoints else None,
        targets={name: torch.cat([clip.targets[name] for clip in clips]) for name in clips[0].targets},
    )


def _joined(frames: Sequence[Tensor]) -> Tensor:
    """Rows of all clips in one tensor. Frames go through NumPy, which asks Linux for large pages: 39,000 frames/s of
    224 x 224, against 10,000 with torch.cat, whose time goes into 18,000 page faults for 500 frames."""
    if frames[0].dtype == torch.uint8:
        return torch.from_numpy(np.concatenate([part.numpy() for part in frames]))
    return torch.cat(list(frames))


def resample(frames: Tensor, lengths: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Frames (N, H, W, 3) uint8, lengths (B,), matrices (B, 2, 3) -> (N, 3, size, size) uint8, on the frames' device.

    The accelerator's version of `warp_frames`: the same pixels except for rounding (a few in 100,000 differ by 1). On a
    CPU OpenCV is many times faster. Each matrix maps pixels of the crop to pixels of the frame, for all frames of one
    clip. A whole-pixel crop inside the frame is a bit-equal slice; anything else is bilinear, edges replicated.
    `matrices` are in main memory. Raises ValueError on other shapes or types.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"frames (N,H,W,3) uint8 expected, got {tuple(frames.shape)} {frames.dtype}")
    result = frames.new_empty(len(frames), 3, size, size)
    parts = (torch.split(each, lengths.tolist()) for each in (frames, result))
    for clip, target, matrix in zip(*parts, matrices.double(), strict=True):
        left, top = (int(value) for value in matrix[:, 2].floor())
        is_inside = 0 <= left <= clip.shape[2] - size and 0 <= top <= clip.shape[1] - size
        if is_inside and torch.equal(matrix, matrix.new_tensor([[1, 0, left], [0, 1, top]])):
            target.copy_(clip[:, top : top + size, left : left + size].permute(0, 3, 1, 2))
        else:
            _warp(clip, matrix, target)
    return result


def _warp(clip: Tensor, matrix: Tensor, target: Tensor) -> None:
    """One clip (T, H, W, 3) into target (T, 3, size, size): one map for all planes of all frames."""
    height, width = clip.shape[1:3]
    steps = torch.arange(target.shape[-1], dtype=torch.float64)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    source = torch.stack((x, y, torch.ones_like(x)), dim=-1) @ matrix.T
    # grid_sample's own scale: the outer edges of the outermost pixels are -1 and 1
    grid = ((2 * source + 1) / source.new_tensor([width, height]) - 1).float().to(clip.device, non_blocking=True)[None]
    for frames, result in zip(torch.split(clip, FRAMES_AT_ONCE), torch.split(target, FRAMES_AT_ONCE), strict=True):
        planes = frames.permute(0, 3, 1, 2).float().flatten(0, 1)[None]
        warped = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
        result.copy_(warped.view(result.shape).round())
