"""Poses -> frames: the wall, the body, the face, two arms and two hands, then the camera's noise.

All geometry of a clip is computed at once; a frame is then some sixty strokes. T frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from glossfree.avatar import body
from glossfree.avatar.body import Build
from glossfree.avatar.face import Head
from glossfree.avatar.hands import CENTRE as HAND_CENTRE
from glossfree.avatar.hands import PALM, axes_of, joints
from glossfree.avatar.motion import CENTRE, DOMINANT, FACE, PASSIVE, SHAPE, TURN
from glossfree.avatar.pen import Stroke, capsule, mix
from glossfree.avatar.signer import SIGNERS, Colour, Signer

_SUPERSAMPLE_BELOW = 150  # pixels: smaller frames are drawn at twice the size
_EDGE = 0.011  # width of dark edges, fraction of the frame
_NOISE, _NOISE_ROOM = 5.0, 24  # standard deviation in grey levels; pixels that the tile is larger than the frame
_NOISE_MIDDLE = 128  # grey level of a tile that adds nothing
_BLINK_EVERY = 3.0  # seconds, on average


@dataclass(frozen=True)
class Camera:
    """How the signer is seen: T frames, pixels."""

    who: Signer
    build: Build
    origin: np.ndarray  # (T,2) the middle of the shoulders
    scale: float  # pixels per frame side

    @property
    def edge(self) -> float:
        """Pixels of a dark edge."""
        return max(1.0, _EDGE * self.scale)

    def pixels(self, points: np.ndarray, side: int = 1) -> np.ndarray:
        """Space (T,...,>=2) of the arm on `side` -> pixels (T,...,2); -1 is the signer's right, our left."""
        start = self.origin.reshape(len(self.origin), *[1] * (points.ndim - 2), 2)
        pixels: np.ndarray = points[..., :2] * (side * self.scale, -self.scale) + start
        return pixels


def draw_clip(poses: np.ndarray, signer: int, size: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Poses (T,63) -> frames (T,size,size,3) uint8 RGB. `rng` moves camera, sway, blinks, noise and brightness."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as many clips are rendered side by side as there are cores
    try:
        return _draw_clip(poses, signer, size, np.arange(len(poses)) / fps, rng)
    finally:
        cv2.setNumThreads(threads)


def _draw_clip(poses: np.ndarray, signer: int, size: int, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    who = SIGNERS[signer]
    enlarged = size < _SUPERSAMPLE_BELOW
    canvas = 2 * size if enlarged else size
    camera = Camera(who, Build.of(who), _sway(seconds, rng) * canvas, float(rng.uniform(0.97, 1.03)) * canvas)
    head = Head(who, poses[:, FACE], _lids(seconds, rng), camera.origin, camera.scale)
    right, left = _Limb(camera, poses[:, DOMINANT], -1), _Limb(camera, poses[:, PASSIVE], 1)
    behind = [*head.back_hair(), *_torso(camera), *head.strokes(), *left.arm(), *right.arm()]
    hands = (left.hand(), right.hand())
    wall, tile = _wall(signer, canvas), _noise_tile(size, rng)
    corners = rng.integers(0, _NOISE_ROOM, (len(poses), 2))
    gain, level, start = rng.uniform(0.94, 1.06), rng.normal(0, 5.0), rng.uniform(0, 2 * np.pi)
    drift = level + 4.0 * np.sin(0.8 * seconds + start) - _NOISE_MIDDLE
    frames = np.empty((len(poses), size, size, 3), np.uint8)
    picture = np.empty_like(wall)
    for t, (y, x) in enumerate(corners):
        np.copyto(picture, wall)
        for stroke in behind:
            stroke.paint(picture, t)
        for order, parts in hands:
            for part in order[t]:
                for stroke in parts[part]:
                    stroke.paint(picture, t)
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) if enlarged else picture
        cv2.addWeighted(small, gain, tile[y : y + size, x : x + size], 1.0, float(drift[t]), dst=frames[t])
    return frames


class _Limb:
    """One arm and its hand through a clip. `numbers` (T,29) as in `motion`; `side` as in `Camera.pixels`."""

    def __init__(self, camera: Camera, numbers: np.ndarray, side: int) -> None:
        build, axes = camera.build, axes_of(numbers[:, TURN])
        self.camera, self.facing = camera, axes[:, 2, 2]  # 1: the palm faces the viewer, -1: the back of the hand
        elbow, wrist = body.elbows(build, numbers[:, CENTRE] - axes[:, :, 1] * (HAND_CENTRE * build.hand))
        turned = axes.transpose(0, 2, 1) * build.hand
        bones = joints(numbers[:, SHAPE])
        fingers = (bones.reshape(len(bones), -1, 3) @ turned).reshape(bones.shape) + wrist[:, None, None]
        palm = PALM @ turned + wrist[:, None]
        depth = np.concatenate([fingers[..., 2].mean(2), palm[..., 2].mean(1, keepdims=True)], axis=1)
        self.order = np.argsort(depth, axis=1).tolist()  # five fingers, palm last
        shoulder = np.broadcast_to(np.array((build.shoulder, 0.0, 0.0)), wrist.shape)
        self.shoulder, self.elbow, self.wrist, self.palm, self.fingers = (
            camera.pixels(points, side) for points in (shoulder, elbow, wrist, palm, fingers)
        )

    def arm(self) -> Iterator[Stroke]:
        """Upper arm, then forearm; sleeves end at the wrist or above the elbow."""
        who, scale, edge = self.camera.who, self.camera.scale, self.camera.edge / 2
        sleeve, hem = mix(who.shirt, (255, 255, 255), 0.07), mix(who.shirt, (0, 0, 0), 0.5)
        lower, lower_edge = (who.skin, mix(who.skin, (0, 0, 0), 0.45)) if who.bare_arms else (sleeve, hem)
        for start, end, wide, narrow, colour, dark in (
            (self.shoulder, self.elbow, 0.058, 0.047, sleeve, hem),
            (self.elbow, self.wrist, 0.045, 0.031, lower, lower_edge),
        ):
            for more, paint in ((edge, dark), (-edge, colour)):
                yield Stroke.fill(capsule(start, end, wide * scale + more, narrow * scale + more), paint)

    def hand(self) -> tuple[list[list[int]], list[list[Stroke]]]:
        """Order of the six parts by depth in every frame, far ones first; the strokes of each part.

        Every part has a dark edge, so that fingers stay apart where they cross.
        """
        unit, edge = self.camera.build.hand * self.camera.scale, self.camera.edge
        skin, dark = self._skin(), mix(self.camera.who.skin, (20, 0, 0), 0.62)
        parts = []
        for finger in range(5):
            width = (0.122 if finger == 0 else 0.110) * unit
            path = self.fingers[:, finger]
            parts.append([Stroke.line(path, max(2.0, width + edge), dark), Stroke.line(path, width - edge, skin)])
        thick = 0.07 * unit  # half of the palm, seen edge-on
        parts.append(
            [Stroke.hull(self.palm, thick + more, paint) for more, paint in ((edge / 2, dark), (-edge / 2, skin))]
        )
        return self.order, parts

    def _skin(self) -> list[Colour]:
        """Palms are lighter and redder than the backs of hands."""
        skin = self.camera.who.skin
        palms = [mix(skin, (255, 214, 200), 0.35 * front) for front in np.maximum(0, self.facing).tolist()]
        return [
            mix(palm, (0, 0, 0), 0.14 * back) for palm, back in zip(palms, np.maximum(0, -self.facing), strict=True)
        ]


def _torso(camera: Camera) -> Iterator[Stroke]:
    """Shoulders and chest down to the lower edge, then neck and collar."""
    who, wide = camera.who, camera.build.shoulder
    half = [(0.06, -0.072), (wide - 0.04, -0.03), (wide + 0.02, 0.015), (wide + 0.04, 0.09), (wide + 0.015, 0.30),
            (wide + 0.03, 0.75)]  # fmt: skip
    outline = np.array([*half, *((-x, y) for x, y in half[::-1])])
    neck = np.array([(-0.05, -0.12), (0.05, -0.12), (0.062, -0.07), (0.0, 0.03), (-0.062, -0.07)])

    def pixels(points: np.ndarray) -> np.ndarray:
        return camera.origin[:, None] + points * camera.scale

    yield Stroke.fill(pixels(outline), mix(who.shirt, (0, 0, 0), 0.45))
    yield Stroke.fill(pixels(outline - np.sign(outline) * (1, 0) * _EDGE + (0, _EDGE)), who.shirt)
    yield Stroke.fill(pixels(neck), mix(who.skin, (0, 0, 0), 0.16))


def _sway(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The middle of the shoulders (T,2), fractions of the frame: where the camera stands, and a slow sway."""
    middle = np.array((0.5, body.SHOULDER_LINE)) + rng.normal(0, 0.007, 2)
    starts = rng.uniform(0, 2 * np.pi, 2)
    sway: np.ndarray = middle + 0.006 * np.sin(seconds[:, None] * (2.1, 1.3) + starts)
    return sway


def _lids(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How open the eyes are (T,), 1 or, for an eighth of a second now and then, 0."""
    lids = np.ones(len(seconds))
    moment = rng.uniform(0, _BLINK_EVERY)
    while moment < seconds[-1]:
        lids[(seconds >= moment) & (seconds < moment + 0.13)] = 0.0
        moment += rng.uniform(0.6, 1.4) * _BLINK_EVERY
    return lids


@lru_cache(maxsize=64)
def _wall(signer: int, size: int) -> np.ndarray:
    """The room behind a signer, (size,size,3) uint8."""
    who = SIGNERS[signer]
    y, x = np.mgrid[0:size, 0:size] / size
    shade = {
        "plain": 0.0 * x,
        "gradient": 26 * (0.5 - y) + 14 * (0.5 - x),
        "stripes": 9 * np.sign(np.sin(34 * x)),
        "curtain": 14 * np.sin(46 * x + 2 * np.sin(3 * y)),
    }[who.texture]
    wall: np.ndarray = np.clip(np.add(who.wall, shade[..., None]), 0, 255).astype(np.uint8)
    return wall


def _noise_tile(size: int, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise around 128, larger than a frame: every frame takes another cut of it."""
    side = size + _NOISE_ROOM
    noise = rng.standard_normal((side, side, 3), dtype=np.float32) * _NOISE + _NOISE_MIDDLE
    tile: np.ndarray = np.clip(noise, 0, 255).astype(np.uint8)
    return tile
