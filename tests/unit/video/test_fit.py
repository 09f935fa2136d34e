"""A frame becomes a square: all of it in another aspect, all of it in its own, or its middle."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from glossfree.video.fit import Fit, fit_frame

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(90, 131), (131, 90), (23, 71), (11, 17), (29, 29)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_every_frame_becomes_the_square(shape: tuple[int, int], fit: Fit) -> None:
    square = fit_frame(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8), 37, fit)
    assert square.shape == (37, 37, 3) and square.dtype == np.uint8


def test_stretch_averages_areas_where_an_axis_shrinks_and_is_linear_where_it_grows() -> None:
    frame = RNG.integers(0, 256, (90, 23, 3), dtype=np.uint8)
    smaller = cv2.resize(frame, (23, 37), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(smaller, (37, 37), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(fit_frame(frame, 37), expected)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_square_frame_is_the_same_in_every_way(fit: Fit) -> None:
    frame = RNG.integers(0, 256, (51, 51, 3), dtype=np.uint8)
    assert np.array_equal(fit_frame(frame, 37, fit), fit_frame(frame, 37, "stretch"))


def test_pad_keeps_the_aspect_and_continues_the_edges() -> None:
    frame = np.zeros((20, 60, 3), np.uint8)
    frame[0], frame[-1], frame[8:12, 28:32] = 50, 200, 255
    square = fit_frame(frame, 60, "pad")
    assert np.array_equal(square[20:40], frame)
    assert (square[:20] == 50).all() and (square[40:] == 200).all()


def test_crop_takes_the_middle() -> None:
    frame = RNG.integers(0, 256, (21, 48, 3), dtype=np.uint8)
    assert np.array_equal(fit_frame(frame, 21, "crop"), frame[:, 13:34])
    assert np.array_equal(fit_frame(frame.transpose(1, 0, 2), 21, "crop"), frame.transpose(1, 0, 2)[13:34])
