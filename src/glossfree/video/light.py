"""How bright frames are, and how much contrast they have: what tells a recording in the dark from one in daylight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

import cv2
import numpy as np


@dataclass(frozen=True)
class Light:
    """`brightness`: mean of all pixels, 0 (black) to 255 (white). `contrast`: their standard deviation in a frame."""

    brightness: float
    contrast: float


def light_of(frames: Iterable[np.ndarray]) -> Light:
    """Frames (H, W, 3) uint8 RGB -> Light, the mean of all frames. Raises ValueError if there are none."""
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    if not grey:
        raise ValueError("no frames")
    return Light(fmean(float(frame.mean()) for frame in grey), fmean(float(frame.std()) for frame in grey))
