"""Filled shapes and thick lines through a clip, drawn with OpenCV at sub-pixel positions.

A `Stroke` holds one shape for all T frames: numpy works on clips, and a frame costs one call of OpenCV per stroke. Dark
edges are larger fills underneath: a thick closed line costs four times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from glossfree.avatar.signer import Colour

_BITS = 4  # fractional bits of a coordinate


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with `share` 0-1 of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Stroke:
    """One shape: `points` (T,K,2) with fractional bits, a colour per frame, a line's `width` in pixels (0: filled)."""

    points: np.ndarray | list[np.ndarray]
    colours: Sequence[Colour]
    width: int

    @classmethod
    def fill(cls, points: np.ndarray, colour: Colour | Sequence[Colour]) -> Stroke:
        """A filled polygon, points (T,K,2) in pixels."""
        return cls(_fixed(points), _per_frame(colour, len(points)), 0)

    @classmethod
    def hull(cls, points: np.ndarray, radius: float, colour: Colour | Sequence[Colour]) -> Stroke:
        """The convex hull of the points (T,K,2) of every frame, extended by `radius` pixels."""
        spread = points[:, :, None] + radius * rounded(10)
        hulls = [cv2.convexHull(frame) for frame in _fixed(spread.reshape(len(points), -1, 2))]
        return cls(hulls, _per_frame(colour, len(points)), 0)

    @classmethod
    def line(cls, points: np.ndarray, width: float, colour: Colour | Sequence[Colour]) -> Stroke:
        """A path with round ends, points (T,K,2) and width in pixels, at least one."""
        return cls(_fixed(points), _per_frame(colour, len(points)), max(1, round(width)))

    def paint(self, picture: np.ndarray, t: int) -> None:
        """Draw the stroke of frame `t`."""
        if self.width:
            cv2.polylines(picture, [self.points[t]], False, self.colours[t], self.width, cv2.LINE_AA, _BITS)
        else:
            cv2.fillPoly(picture, [self.points[t]], self.colours[t], cv2.LINE_AA, _BITS)


def rounded(num_points: int = 22) -> np.ndarray:
    """The unit circle as a polygon (K,2)."""
    turns = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1)


def capsule(start: np.ndarray, end: np.ndarray, wide: float, narrow: float) -> np.ndarray:
    """Two joints (T,2) -> the outline (T,K,2) of a limb that tapers from radius `wide` to `narrow`, with round ends."""
    along = end - start
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(-np.pi / 2, np.pi / 2, 9)[:, None]

    def cap(centre: np.ndarray, radius: float, forward: int) -> np.ndarray:
        bow = np.cos(half) * along[:, None] + np.sin(half) * across[:, None]
        outline: np.ndarray = centre[:, None] + forward * radius * bow
        return outline

    return np.concatenate([cap(end, narrow, 1), cap(start, wide, -1)], axis=1)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels -> integers with fractional bits, OpenCV's format for `shift`."""
    fixed: np.ndarray = np.rint(points * (1 << _BITS)).astype(np.int32)
    return fixed


def _per_frame(colour: Colour | Sequence[Colour], count: int) -> Sequence[Colour]:
    single = isinstance(colour[0], int)
    return [colour] * count if single else colour  # type: ignore[list-item, return-value]
