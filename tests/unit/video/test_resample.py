"""Cropping where tensors live gives what the loader's workers give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from glossfree.video.augment import View, apply, draw_affine
from glossfree.video.resample import FRAMES_AT_ONCE, resample

VIEW = View(53, 41, augment_probability=1.0, translation=6)
LENGTHS = (7, 1, FRAMES_AT_ONCE + 3)


def clip(length: int, seed: int) -> np.ndarray:
    """Soft blobs, as a picture has: on noise, a rounded fraction of a pixel would show more than it means."""
    noise = np.random.default_rng(seed).integers(0, 256, (length, 53, 53, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in noise])


def both(matrices: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    clips = [clip(length, seed) for seed, length in enumerate(LENGTHS)]
    expected = [apply(frames, matrix, VIEW.crop_size) for frames, matrix in zip(clips, matrices, strict=True)]
    found = resample(
        torch.from_numpy(np.concatenate(clips)), torch.tensor(LENGTHS), torch.from_numpy(np.stack(matrices)), 41
    )
    assert (found.dtype, found.is_contiguous()) == (torch.uint8, True)
    return np.concatenate(expected).astype(int), found.numpy().astype(int)


@pytest.mark.parametrize("seed", range(4))
def test_rotated_resized_and_moved_frames_are_the_workers_but_for_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrices = [draw_affine(VIEW, rng) for _ in LENGTHS]
    assert not all(np.array_equal(matrix[:, :2], np.eye(2)) for matrix in matrices)
    expected, found = both(matrices)
    difference = np.abs(expected - found)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_whole_pixels_are_slices_bit_for_bit_and_edges_go_on() -> None:
    plain = View(53, 41, augment_probability=0.0)
    corners = [draw_affine(plain, np.random.default_rng(seed)) for seed in (1, 2)]
    outside = np.array([[1.0, 0.0, -5.0], [0.0, 1.0, 20.0]])
    expected, found = both([draw_affine(plain), *corners])
    assert np.array_equal(expected, found)
    expected, found = both([*corners, outside])
    assert np.abs(expected - found).max() <= 1
    assert np.array_equal(found[-1, :, :, 0], found[-1, :, :, 4]), "left of the frame its first column goes on"


@pytest.mark.parametrize("shape", [(4, 3, 53, 53), (4, 53, 53, 1)])
def test_other_frames_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8 expected"):
        resample(torch.zeros(shape, dtype=torch.uint8), torch.tensor([4]), torch.eye(3)[None, :2], 41)
