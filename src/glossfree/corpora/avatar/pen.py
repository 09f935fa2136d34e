"""Filled and outlined shapes in fractions of a frame, drawn with OpenCV at sub-pixel positions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from glossfree.corpora.avatar.signer import Colour

_BITS = 4  # fractional bits of a coordinate
_ONE = 1 << _BITS


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with `share` 0-1 of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def fixed(points: np.ndarray | Sequence[tuple[float, float]]) -> np.ndarray:
    """Pixels -> whole numbers with fractional bits, as OpenCV takes them with `shift`."""
    return np.rint(np.asarray(points) * _ONE).astype(np.int32)


class Pen:
    """Draws on one picture. `scale`: pixels per frame side; widths and radii are fractions of the frame's side."""

    def __init__(self, picture: np.ndarray, scale: float) -> None:
        self.picture = picture
        self.scale = scale
        self.edge = max(1.0, 0.011 * scale)  # pixels of a dark edge

    def width(self, fraction: float) -> int:
        """Whole pixels of a line, at least one."""
        return max(1, round(fraction * self.scale))

    def shape(
        self,
        outline: Sequence[tuple[float, float]],
        origin: np.ndarray,
        colour: Colour,
        edge: Colour | None,
    ) -> None:
        """Any polygon, (right, down) of `origin` in fractions of the frame."""
        points = fixed(np.asarray(outline) * self.scale + origin)
        cv2.fillPoly(self.picture, [points], colour, cv2.LINE_AA, _BITS)
        if edge is not None:
            cv2.polylines(self.picture, [points], True, edge, max(1, round(self.edge)), cv2.LINE_AA, _BITS)

    def line(self, points: np.ndarray, width: float, colour: Colour) -> None:
        """A path (K,2) in pixels."""
        cv2.polylines(self.picture, [fixed(points)], False, colour, self.width(width), cv2.LINE_AA, _BITS)

    def finger(self, points: np.ndarray, width: float, colour: Colour, edge: Colour) -> None:
        """A path (K,2) in pixels with round ends and a dark edge."""
        whole, pixels = [fixed(points)], width * self.scale
        cv2.polylines(self.picture, whole, False, edge, max(2, round(pixels + self.edge)), cv2.LINE_AA, _BITS)
        cv2.polylines(self.picture, whole, False, colour, max(1, round(pixels - self.edge)), cv2.LINE_AA, _BITS)

    def palm(self, points: np.ndarray, width: float, colour: Colour, edge: Colour) -> None:
        """The hull of some points in pixels, as thick as `width` where it is seen edge-on."""
        hull = cv2.convexHull(fixed(points))
        pixels = 2 * width * self.scale
        cv2.polylines(self.picture, [hull], True, edge, max(2, round(pixels + self.edge)), cv2.LINE_AA, _BITS)
        cv2.polylines(self.picture, [hull], True, colour, max(1, round(pixels - self.edge)), cv2.LINE_AA, _BITS)
        cv2.fillConvexPoly(self.picture, hull, colour, cv2.LINE_AA, _BITS)

    def ellipse(
        self, centre: np.ndarray, half_axes: tuple[float, float], angle: float, colour: Colour, fill: bool = True
    ) -> None:
        """Centre in pixels, half axes in fractions of the frame, angle in degrees."""
        x, y = fixed(centre)
        axes = fixed(np.asarray(half_axes) * self.scale)
        thickness = -1 if fill else max(1, round(0.6 * self.edge))
        cv2.ellipse(self.picture, (int(x), int(y)), (int(axes[0]), int(axes[1])), angle, 0, 360, colour, thickness,
                    cv2.LINE_AA, _BITS)  # fmt: skip

    def disc(self, centre: np.ndarray, radius: float, colour: Colour) -> None:
        """Radius in pixels."""
        x, y = fixed(centre)
        cv2.circle(self.picture, (int(x), int(y)), max(1, round(radius * _ONE)), colour, -1, cv2.LINE_AA, _BITS)

    def capsule(
        self, start: np.ndarray, end: np.ndarray, wide: float, narrow: float, colour: Colour, edge: Colour
    ) -> None:
        """A limb between two points in pixels, tapering from radius `wide` to `narrow` (fractions), with an edge."""
        along = end - start
        across = np.array((-along[1], along[0])) / max(float(np.hypot(*along)), 1e-6)
        for more, paint in ((0.5 * self.edge, edge), (-0.5 * self.edge, colour)):
            first, last = wide * self.scale + more, narrow * self.scale + more
            corners = (start + across * first, end + across * last, end - across * last, start - across * first)
            self.disc(start, first, paint)
            self.disc(end, last, paint)
            cv2.fillConvexPoly(self.picture, fixed(corners), paint, cv2.LINE_AA, _BITS)
