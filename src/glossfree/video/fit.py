"""A frame of any size -> a square of `size` pixels, in one of three ways."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

Fit = Literal["stretch", "pad", "crop"]


def fit_frame(frame: np.ndarray, size: int, fit: Fit = "stretch") -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3).

    "stretch": all of the frame, in another aspect (section 4.2: "resized to 256x256"); "pad": all of it, in its own,
    the outermost pixels continued to the square; "crop": the square in its middle.
    """
    height, width = frame.shape[:2]
    if fit == "stretch" or height == width:
        return stretch(frame, size)
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return stretch(frame[top : top + side, left : left + side], size)
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    small = resize(frame, columns, rows)
    top, left = (size - rows) // 2, (size - columns) // 2
    # As in augmentation: black bars would be strong edges.
    return cv2.copyMakeBorder(small, top, size - rows - top, left, size - columns - left, cv2.BORDER_REPLICATE)


def stretch(frame: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (size, size, 3)."""
    return resize(frame, size, size)


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3): areas averaged where an axis shrinks, linear where it grows."""
    rows, columns = frame.shape[:2]
    if rows > height or columns > width:
        frame = cv2.resize(frame, (min(columns, width), min(rows, height)), interpolation=cv2.INTER_AREA)
    if frame.shape[:2] != (height, width):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return frame
