"""Packed frames -> cropped frames on an accelerator: there, what `augment.apply` does in a loader's worker.

The draw is the same (one affine map per clip, `augment.draw_affine`), and so are the pixels, but for rounding: a few
in 100,000 differ by 1. Workers then only decode. Without an accelerator they do it all: OpenCV is many times as fast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

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
