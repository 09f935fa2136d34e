"""The head of a signer: hair, ears, brows, eyes, nose, mouth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from glossfree.corpora.avatar.body import HEAD_CENTRE, HEAD_HALF_HEIGHT, HEAD_HALF_WIDTH
from glossfree.corpora.avatar.pen import Pen, mix
from glossfree.corpora.avatar.signer import Signer

_TILT = np.radians(11)
_NECK = 0.13  # the head turns about a point so far above the shoulders


@dataclass(frozen=True)
class Head:
    """A head through a clip: T frames."""

    centre: np.ndarray  # (T,2) pixels
    axes: np.ndarray  # (T,2,2) rows: a step to the right and a step down, of one frame side, in pixels
    face: np.ndarray  # (T,5) brows, mouth open, mouth width, tilt, nod
    angle: np.ndarray  # (T,) degrees

    @classmethod
    def track(cls, who: Signer, face: np.ndarray, origin: np.ndarray, scale: float) -> Head:
        """Face numbers (T,5), the body's origin (T,2) in pixels -> the head of every frame."""
        tilt = face[:, 3] * _TILT
        right = np.stack([np.cos(tilt), np.sin(tilt)], axis=1) * scale
        down = np.stack([-np.sin(tilt), np.cos(tilt)], axis=1) * scale
        neck = origin - np.array((0.0, _NECK)) * scale
        lift = HEAD_CENTRE - _NECK - 0.018 * np.abs(face[:, 4:5])
        return cls(neck - down * lift, np.stack([right, down], axis=1), face, np.degrees(tilt))

    def at(self, t: int, points: list[tuple[float, float]]) -> np.ndarray:
        """(right, down) of the head's centre, fractions of the frame -> pixels (K,2)."""
        return self.centre[t] + np.asarray(points) @ self.axes[t]


def draw_head(pen: Pen, who: Signer, head: Head, t: int) -> None:
    """Everything above the collar."""
    wide, high = HEAD_HALF_WIDTH * who.head * who.face_width, HEAD_HALF_HEIGHT * who.head
    brows, opened, width, _, nod = head.face[t]
    angle, dark = float(head.angle[t]), mix(who.skin, (30, 0, 0), 0.5)
    low = 0.016 * nod  # nodding moves the features down on the face

    def at(*points: tuple[float, float]) -> np.ndarray:
        return head.at(t, list(points))

    _back_hair(pen, who, head, t, wide, high)
    for side in (-1, 1):
        pen.ellipse(at((side * wide * 0.98, 0.015))[0], (0.02, 0.034), angle, mix(who.skin, (60, 10, 0), 0.18))
    pen.ellipse(at((0, 0))[0], (wide, high), angle, dark)
    pen.ellipse(at((0, 0))[0], (wide - 0.005, high - 0.005), angle, who.skin)
    _front_hair(pen, who, head, t, wide, high)
    for side in (-1, 1):
        eye = at((side * 0.046, -0.012 + low))[0]
        pen.ellipse(eye, (0.021, 0.0125 + 0.004 * max(0.0, brows)), angle, (244, 242, 240))
        pen.disc(eye, 0.0095 * pen.scale, (40, 28, 24))
        lift = 0.018 * brows
        inner = 0.010 if brows < 0 else 0.0  # frowning draws the inner ends down further
        arch = [(side * 0.022, -0.043 - lift + inner + low), (side * 0.048, -0.054 - lift + low),
                (side * 0.074, -0.043 - 0.7 * lift + low)]  # fmt: skip
        pen.line(at(*arch), 0.011, mix(who.hair, (20, 10, 10), 0.45))
    pen.line(
        at((0.004, -0.01 + low), (0.014, 0.036 + low), (-0.004, 0.041 + low)), 0.007, mix(who.skin, (40, 0, 0), 0.34)
    )
    _mouth(pen, who, at((0, 0.082 + low))[0], head.axes[t], angle, float(opened), float(width))
    if who.glasses:
        for side in (-1, 1):
            pen.ellipse(at((side * 0.046, -0.010 + low))[0], (0.036, 0.027), angle, (30, 30, 34), fill=False)
        pen.line(at((-0.012, -0.012 + low), (0.012, -0.012 + low)), 0.006, (30, 30, 34))


def _mouth(
    pen: Pen, who: Signer, centre: np.ndarray, axes: np.ndarray, angle: float, opened: float, width: float
) -> None:
    """A line that smiles, or lips around an opening."""
    lips = mix(who.skin, (150, 30, 40), 0.55)
    half = 0.036 * (1 + (0.42 if width > 0 else 0.45) * width)
    if opened > 0.12:
        pen.ellipse(centre, (half, 0.008 + 0.026 * opened), angle, lips)
        pen.ellipse(centre, (half * 0.74, 0.002 + 0.019 * opened), angle, (58, 16, 22))
        return
    bow = 0.012 * max(0.0, width)
    path = np.array([(-half, -bow), (-0.5 * half, 0.4 * bow), (0, bow), (0.5 * half, 0.4 * bow), (half, -bow)])
    pen.line(centre + path @ axes, 0.012, lips)


def _back_hair(pen: Pen, who: Signer, head: Head, t: int, wide: float, high: float) -> None:
    angle = float(head.angle[t])
    if who.hair_style == "bald":
        return
    pen.ellipse(head.at(t, [(0, -0.018)])[0], (wide + 0.018, high + 0.010), angle, who.hair)
    if who.hair_style == "long":
        curtain = [(-wide - 0.018, -0.03), (wide + 0.018, -0.03), (wide + 0.036, 0.20), (-wide - 0.036, 0.20)]
        pen.shape(
            [tuple(p) for p in (head.at(t, curtain) - head.centre[t]) / pen.scale], head.centre[t], who.hair, None
        )
    elif who.hair_style == "bun":
        pen.ellipse(head.at(t, [(0, -high - 0.012)])[0], (0.05, 0.036), angle, who.hair)


def _front_hair(pen: Pen, who: Signer, head: Head, t: int, wide: float, high: float) -> None:
    """The part of the head above the hairline, as a piece of the head's own ellipse."""
    if who.hair_style == "bald":
        return
    line = {"short": 0.50, "long": 0.56, "bun": 0.60}[who.hair_style]
    turns = np.linspace(np.pi + np.arcsin(line), 2 * np.pi - np.arcsin(line), 13)
    rim = [((wide + 0.008) * np.cos(turn), (high + 0.008) * np.sin(turn)) for turn in turns]
    side = -1 if who.hair_style == "long" else 1
    hairline = [(wide * 0.55, -high * 0.62), (side * wide * 0.28, -high * 0.72), (-wide * 0.55, -high * 0.60)]
    points = head.at(t, [*rim, *hairline])
    cv2.fillPoly(pen.picture, [np.rint(points * 16).astype(np.int32)], who.hair, cv2.LINE_AA, 4)
