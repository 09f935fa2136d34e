"""(The founder's interim version, so that `video/intake.py` can be imported; the helper who owns this file replaces it.)

`intake.py` uses: `Crop` (fields `how`, ...; `as_dict()`), `apply_crop(frame, crop)`, and
`find_signer(frames (K,H,W,3), profile dict | None, aspect: float) -> Crop`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Crop:
    left: float
    top: float
    width: float
    height: float
    how: str = "centre"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_signer(frames: np.ndarray, profile: dict[str, Any] | None, aspect: float) -> Crop:
    height, width = frames.shape[1:3]
    wide = min(width, height * aspect)
    high = wide / aspect
    return Crop((width - wide) / 2 / width, (height - high) / 2 / height, wide / width, high / height)


def apply_crop(frame: np.ndarray, crop: Crop) -> np.ndarray:
    height, width = frame.shape[:2]
    top, left = round(crop.top * height), round(crop.left * width)
    return frame[top : top + round(crop.height * height), left : left + round(crop.width * width)]
