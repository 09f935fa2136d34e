"""Frames of any size -> squares; packed frames -> crops, rotated, resized and moved once per clip (section 4.2).

Augmentation and crop are ONE affine map: each pixel is interpolated once, on uint8, and only the crop is computed.
There is no mirroring: a mirrored sign is another sign, or none.

Pixel centres have integer coordinates (x, y); the centre of a frame of S pixels is (S - 1) / 2.
Measured on one core, 256 x 256 -> 224 x 224 planar uint8, OpenCV 5.0: 1,800 frames/s with one warpAffine per frame,
**4,090** with the planes of four frames regrouped into three images of four channels: pixels are bit-equal, and four
channels fill the vector unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

# Edge pixels are repeated beyond the frame. Black corners would be strong edges that only training has.
BORDER = cv2.BORDER_REPLICATE
FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
GROUP = 4  # frames warped together: their 12 planes are 3 images of 4 channels
SWAP = [plane for index in range(3 * GROUP) for plane in (index, index)]


@dataclass(frozen=True)
class View:
    """What the network sees of a packed frame: the crop size and the ranges of augmentation."""

    frame_size: int  # pixels of a packed frame, height and width
    crop_size: int  # pixels of a cropped frame
    augment_probability: float = 0.5  # of each of the three below, per clip
    rotation: float = 30.0  # degrees, drawn in +-rotation
    resize: float = 0.2  # fraction, drawn in +-resize
    translation: float = 10.0  # pixels of the packed frame, drawn in +-translation, integer

    def __post_init__(self) -> None:
        if not 1 <= self.crop_size <= self.frame_size:
            raise ValueError(f"a crop of {self.crop_size} pixels does not fit into frames of {self.frame_size}")
        if not 0 <= self.resize < 1:
            raise ValueError(f"resize must lie in [0, 1), got {self.resize}")


def rotation_about(centre: float, degrees: float, scale: float) -> np.ndarray:
    """Rotation (counter-clockwise on the screen) and scaling about (centre, centre) -> 3 x 3, source -> destination."""
    angle = np.deg2rad(degrees)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    shift = centre - centre * np.array([cosine + sine, cosine - sine])
    return np.array([[cosine, sine, shift[0]], [-sine, cosine, shift[1]], [0.0, 0.0, 1.0]])


def shift_by(x: float, y: float) -> np.ndarray:
    """Translation by (x, y) pixels -> 3 x 3, source -> destination."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def draw_affine(view: View, rng: np.random.Generator | None = None) -> np.ndarray:
    """Draw one clip's map (2, 3) float64 from pixels of the crop to pixels of the packed frame.

    The content is rotated and resized about the centre, translated and cropped; the matrix is the inverse of that, as
    WARP_INVERSE_MAP needs it. Without `rng` it is the centre crop. Crop and translation are whole pixels, so a clip
    that is neither rotated nor resized is only sliced.
    """
    spare = view.frame_size - view.crop_size
    if rng is None:
        return shift_by(spare // 2, spare // 2)[:2]
    # Always draw every number, used or not, so that the n-th draw always has the same meaning.
    rotate, resize, translate = rng.random(3) < view.augment_probability
    degrees = rng.uniform(-view.rotation, view.rotation) * rotate
    scale = 1.0 + rng.uniform(-view.resize, view.resize) * resize
    moved = np.rint(rng.uniform(-view.translation, view.translation, size=2)) * translate
    corner = rng.integers(0, spare + 1, size=2)
    if degrees == 0.0 and scale == 1.0:
        return shift_by(*(corner - moved))[:2]  # without an inverse nothing is rounded
    content = shift_by(*(moved - corner)) @ rotation_about((view.frame_size - 1) / 2, degrees, scale)
    return np.linalg.inv(content)[:2]


def warp_frames(frames: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(T, H, W, 3) uint8 and (2, 3) destination -> source -> (T, 3, size, size) uint8, contiguous, planar for the ViT.

    A whole-pixel crop inside the frame is a slice, bit for bit; anything else is bilinear, edges replicated.
    Raises ValueError on other shapes or types.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames (T,H,W,3) uint8 expected, got {frames.shape} {frames.dtype}")
    result = np.empty((len(frames), 3, size, size), dtype=np.uint8)
    left, top = (int(value) for value in np.floor(matrix[:, 2]))
    is_slice = np.array_equal(matrix, [[1, 0, left], [0, 1, top]])
    if is_slice and 0 <= left <= frames.shape[2] - size and 0 <= top <= frames.shape[1] - size:
        for frame, planes in zip(frames[:, top : top + size, left : left + size], result, strict=True):
            cv2.split(frame, list(planes))
        return result
    grouped = len(frames) // GROUP * GROUP
    _warp_groups(frames[:grouped], matrix, result[:grouped])
    for frame, planes in zip(frames[grouped:], result[grouped:], strict=True):
        warped = cv2.warpAffine(frame, matrix, (size, size), flags=FLAGS, borderMode=BORDER)
        cv2.split(warped, list(planes))
    return result


def _warp_groups(frames: np.ndarray, matrix: np.ndarray, result: np.ndarray) -> None:
    """Warp frames into `result` (T, 3, size, size), four at a time; T is a multiple of four."""
    size = result.shape[-1]
    images = [np.empty((*frames.shape[1:3], GROUP), dtype=np.uint8) for _ in range(3)]
    warped = np.empty((size, size, GROUP), dtype=np.uint8)
    planes = result.reshape(-1, GROUP, size, size)  # the 12 planes of a group, four by four
    for start in range(0, len(frames), GROUP):
        cv2.mixChannels(list(frames[start : start + GROUP]), images, SWAP)
        for row, image in enumerate(images, start=start * 3 // GROUP):
            cv2.warpAffine(image, matrix, (size, size), dst=warped, flags=FLAGS, borderMode=BORDER)
            cv2.split(warped, list(planes[row]))


def warp_points(points: np.ndarray, matrix: np.ndarray, frame_size: int, crop_size: int) -> np.ndarray:
    """Points (T, J, 3) of packed frames -> of their crop, as `warp_frames` maps pixels with the same matrix (2, 3).

    A point outside of the crop lies below 0 or above 1; one that was not seen stays (0, 0, 0).
    """
    pixels = points[..., :2] * frame_size - 0.5
    moved = (pixels - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return unseen_as_zeros(np.concatenate([(moved + 0.5) / crop_size, points[..., 2:]], axis=-1))


def unseen_as_zeros(points: np.ndarray) -> np.ndarray:
    """Points (T, J, 3) of any kind -> float32, confidence in [0, 1]; (0, 0, 0) where it is 0 or a number is missing."""
    points = np.where(np.isfinite(points).all(axis=-1, keepdims=True), points, 0.0)
    points[..., 2] = points[..., 2].clip(0, 1)
    return np.where(points[..., 2:] > 0, points, 0.0).astype(np.float32)


Fit = Literal["stretch", "pad", "crop"]
Scaled = Callable[[int, int], tuple[int, int]]  # (width, height) of frames -> those at which they are read


def fitted(size: int, fit: Fit = "stretch") -> Scaled:
    """The size at which to read frames for `fit_frame`, so that it has little or nothing to scale."""

    def scaled(width: int, height: int) -> tuple[int, int]:
        if fit == "stretch":
            return size, size
        return (width, height) if fit == "crop" else _padded(width, height, size)

    return scaled


def _padded(width: int, height: int, size: int) -> tuple[int, int]:
    """(Width, height) of a frame in its own aspect inside the square."""
    scale = size / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def fit_frame(frame: np.ndarray, size: int, fit: Fit = "stretch") -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3).

    "stretch": the full frame in another aspect (section 4.2: "resized to 256x256"); "pad": the full frame in its own
    aspect, edge pixels repeated; "crop": the central square.
    """
    height, width = frame.shape[:2]
    if fit == "stretch" or height == width:
        return resize(frame, size, size)
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return resize(frame[top : top + side, left : left + side], size, size)
    columns, rows = _padded(width, height, size)
    small = resize(frame, columns, rows)
    top, left = (size - rows) // 2, (size - columns) // 2
    return cv2.copyMakeBorder(small, top, size - rows - top, left, size - columns - left, BORDER)


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3): area averaging on axes that shrink, linear interpolation on axes that grow."""
    rows, columns = frame.shape[:2]
    if rows > height or columns > width:
        frame = cv2.resize(frame, (min(columns, width), min(rows, height)), interpolation=cv2.INTER_AREA)
    if frame.shape[:2] != (height, width):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return frame
