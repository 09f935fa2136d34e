"""The head of a signer: hair, ears, brows, eyes, nose, mouth. T frames, lengths in fractions of the frame's side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glossfree.avatar.body import HEAD_CENTRE, HEAD_HALF_HEIGHT, HEAD_HALF_WIDTH
from glossfree.avatar.pen import Stroke, mix, rounded
from glossfree.avatar.signer import Colour, Signer

_TILT = np.radians(11)
_NECK = 0.13  # the head turns about a point so far above the shoulders
_BLACK: Colour = (30, 30, 34)
Point = tuple[float, float]


class Head:
    """A head through a clip, and how to draw it. `face` (T,5): brows, mouth open, mouth width, tilt, nod.

    `origin` (T,2): the middle of the shoulders in pixels; `scale`: pixels per frame side; `lids` (T,): 1 open, 0 shut.
    """

    def __init__(self, who: Signer, face: np.ndarray, lids: np.ndarray, origin: np.ndarray, scale: float) -> None:
        self.who, self.scale = who, scale
        self.brows, self.opened, self.width = face[:, 0], face[:, 1], face[:, 2]
        self.lids = lids
        self.low = 0.016 * face[:, 4]  # nodding moves the features down on the face
        tilt = face[:, 3] * _TILT
        right = np.stack([np.cos(tilt), np.sin(tilt)], axis=1)
        down = np.stack([-np.sin(tilt), np.cos(tilt)], axis=1)
        lift = HEAD_CENTRE - _NECK - 0.018 * np.abs(face[:, 4:5])
        self.axes = np.stack([right, down], axis=1) * scale  # rows: a step to the right, a step down
        self.centre = origin - np.array((0.0, _NECK)) * scale - down * lift * scale
        self.half = (HEAD_HALF_WIDTH * who.head * who.face_width, HEAD_HALF_HEIGHT * who.head)

    def strokes(self) -> Iterator[Stroke]:
        """All but the hair behind the neck, from the back to the front."""
        who, (wide, high) = self.who, self.half
        for side in (-1, 1):
            yield self._oval((side * wide * 0.98, 0.015), (0.02, 0.034), mix(who.skin, (60, 10, 0), 0.18))
        yield self._oval((0, 0), (wide, high), mix(who.skin, (30, 0, 0), 0.5), points=36)
        yield self._oval((0, 0), (wide - 0.006, high - 0.006), who.skin, points=36)
        yield from self._front_hair()
        for side in (-1, 1):
            yield from self._eye(side)
        nose = ((0.004, -0.01), (0.014, 0.036), (-0.004, 0.041))
        yield self._line(self._features(*nose), 0.007, mix(who.skin, (40, 0, 0), 0.34))
        yield from self._mouth()

    def _eye(self, side: int) -> Iterator[Stroke]:
        """Eye, brow and, where they are worn, half of the glasses."""
        high = (0.0125 + 0.004 * np.maximum(0.0, self.brows)) * (0.12 + 0.88 * self.lids)
        white = self._features((side * 0.046, -0.012)) + rounded(14) * _pairs(0.0215, high)
        yield Stroke.fill(self._pixels(white), (244, 242, 240))
        iris = self._features((side * 0.046, -0.012)) + rounded(10) * _pairs(0.0095, np.minimum(0.0105, high))
        yield Stroke.fill(self._pixels(iris), (40, 28, 24))
        lift = 0.018 * self.brows
        frown = np.where(self.brows < 0, 0.006, 0.0)  # frowning draws the inner ends down further
        arch = self._features((side * 0.022, -0.043), (side * 0.048, -0.054), (side * 0.074, -0.043))
        arch[:, :, 1] += np.stack([frown - lift, -lift, -0.7 * lift], axis=1)
        yield self._line(arch, 0.0115, mix(self.who.hair, (20, 10, 10), 0.45))
        if self.who.glasses:
            rim = self._features((side * 0.046, -0.010)) + rounded(14)[[*range(14), 0]] * (0.036, 0.027)
            yield self._line(rim, 0.006, _BLACK)
            yield self._line(self._features((side * 0.011, -0.012), (0, -0.014)), 0.006, _BLACK)

    def _mouth(self) -> Iterator[Stroke]:
        """Lips around an opening that is a line while the mouth is shut; their corners rise when it smiles."""
        half = 0.036 * (1 + np.where(self.width > 0, 0.42, 0.45) * self.width)
        bow = 0.016 * np.maximum(0.0, self.width)
        for across, shut, open_, colour in (
            (1.0, 0.0065, 0.026, mix(self.who.skin, (150, 30, 40), 0.55)),
            (0.80, 0.0016, 0.021, (58, 16, 22)),
        ):
            rim = rounded(16) * _pairs(across * half, shut + open_ * self.opened)
            rim[:, :, 1] += bow[:, None] * (0.5 - (rim[:, :, 0] / half[:, None]) ** 2)
            yield Stroke.fill(self._pixels(self._features((0, 0.084)) + rim), colour)

    def back_hair(self) -> Iterator[Stroke]:
        """What hangs behind head, neck and shoulders."""
        who, (wide, high) = self.who, self.half
        if who.hair_style == "bald":
            return
        yield self._oval((0, -0.018), (wide + 0.018, high + 0.010), who.hair, points=36)
        if who.hair_style == "long":
            side = [(1.0, -0.03), (1.10, 0.06), (1.16, 0.15), (1.06, 0.20), (0.80, 0.215)]
            curtain = [(x * (wide + 0.02), y) for x, y in side]
            yield Stroke.fill(self._pixels(np.array([[*curtain, *((-x, y) for x, y in curtain[::-1])]])), who.hair)
        elif who.hair_style == "bun":
            yield self._oval((0, -high - 0.012), (0.05, 0.036), who.hair)

    def _front_hair(self) -> Iterator[Stroke]:
        """The part of the head above the hairline."""
        who, (wide, high) = self.who, self.half
        if who.hair_style == "bald":
            return
        start = {"short": 0.50, "long": 0.50, "bun": 0.60}[who.hair_style]
        turns = np.linspace(np.pi + np.arcsin(start), 2 * np.pi - np.arcsin(start), 13)
        rim = [((wide + 0.008) * np.cos(turn), (high + 0.008) * np.sin(turn)) for turn in turns]
        parting = -0.3 if who.hair_style == "long" else 0.28
        hairline = [(wide * 0.6, -high * 0.60), (parting * wide, -high * 0.74), (-wide * 0.6, -high * 0.58)]
        yield Stroke.fill(self._pixels(np.array([[*rim, *hairline]])), who.hair)

    def _features(self, *points: Point) -> np.ndarray:
        """Points on the face (K) -> (T,K,2), moved by nodding."""
        moved = np.repeat(np.array([points], dtype=float), len(self.low), axis=0)
        moved[:, :, 1] += self.low[:, None]
        return moved

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        """(T or 1,K,2) right and down of the head's centre -> pixels (T,K,2)."""
        pixels: np.ndarray = self.centre[:, None] + points @ self.axes
        return pixels

    def _oval(self, centre: Point, half: Point, colour: Colour, points: int = 20) -> Stroke:
        return Stroke.fill(self._pixels((rounded(points) * half + centre)[None]), colour)

    def _line(self, points: np.ndarray, width: float, colour: Colour) -> Stroke:
        return Stroke.line(self._pixels(points), width * self.scale, colour)


def _pairs(across: float | np.ndarray, down: np.ndarray) -> np.ndarray:
    """Half axes of every frame: (T,1,2)."""
    return np.stack([np.broadcast_to(across, down.shape), down], axis=-1)[:, None]
