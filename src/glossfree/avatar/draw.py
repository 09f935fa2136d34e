"""Poses -> frames: the wall, the body, the face, two arms and two hands, then the camera's noise.

The geometry of a complete clip is computed at once; a frame is then some sixty strokes. T frames. Lengths are fractions
of the frame's side unless a comment says pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from glossfree.avatar import hands
from glossfree.avatar.pen import Stroke, capsule, mix, rounded
from glossfree.avatar.signer import SIGNERS, Colour, Signer

_SUPERSAMPLE_BELOW = 150  # pixels: smaller frames are drawn at twice the size
_SHOULDER_LINE = 0.47  # of the frame, from its top
_HEAD_CENTRE, _HEAD_HALF_HEIGHT, _HEAD_HALF_WIDTH = 0.26, 0.152, 0.112
_NECK, _TILT = 0.13, np.radians(11)  # the head turns about this point above the shoulders, by at most this angle
_EDGE = 0.011  # width of dark edges
_NOISE, _NOISE_ROOM = 5.0, 24  # standard deviation in grey levels; extra pixels of the tile
_NOISE_MIDDLE = 128  # grey level of the tile without noise
_BLINK_EVERY = 3.0  # seconds, on average
_EYE, _NOSE = (0.046, -0.012), ((0.004, -0.01), (0.014, 0.036), (-0.004, 0.041))  # right and down of the head's centre
_LIPS, _OPENING = (1.0, 0.0065, 0.026), (0.80, 0.0016, 0.021)  # of the mouth's width; half heights, shut and open
_BLACK: Colour = (30, 30, 34)
_FINGERS = ("thumb", "index", "middle", "ring", "little")
_ARM = ("shoulder", "elbow", "wrist", *(f"{finger}_{joint}" for finger in _FINGERS for joint in range(1, 5)))
# the keypoints of a signer: "right" is the signer's right, our left; fingers from base to tip
JOINTS = (
    *(f"{side}_{joint}" for side in ("right", "left") for joint in _ARM),
    *("right_eye", "right_brow", "left_eye", "left_brow"),
    *("nose", "mouth_right", "mouth_top", "mouth_left", "mouth_bottom"),
)
Point = tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """Projects the signer onto T frames, in pixels."""

    who: Signer
    origin: np.ndarray  # (T,2) the middle of the shoulders
    scale: float  # pixels per frame side

    @property
    def edge(self) -> float:
        """Width of a dark edge in pixels."""
        return max(1.0, _EDGE * self.scale)

    def pixels(self, points: np.ndarray, side: int = 1) -> np.ndarray:
        """Space (T,...,>=2) of the arm on `side` -> pixels (T,...,2); -1 is the signer's right, our left."""
        start = self.origin.reshape(len(self.origin), *[1] * (points.ndim - 2), 2)
        pixels: np.ndarray = points[..., :2] * (side * self.scale, -self.scale) + start
        return pixels


def draw_clip(poses: np.ndarray, signer: int, size: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Poses (T,63) -> frames (T,size,size,3) uint8 RGB. `rng` moves camera, sway, blinks, noise and brightness."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one process per core already renders clips
    try:
        return _draw_clip(poses, signer, size, np.arange(len(poses)) / fps, rng)
    finally:
        cv2.setNumThreads(threads)


def keypoints_of(poses: np.ndarray, signer: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Poses (T,63) -> where `draw_clip` draws each of JOINTS with the same `rng`: (T,J,2), x and y.

    In fractions of the frame: 0 and 1 are its edges, so the middle of pixel p of S is at (p + 1/2) / S. A joint that
    another part hides has its place, too.
    """
    canvas = 1000  # pixels: they are divided by it at once
    _, head, *limbs = _posed(poses, signer, canvas, np.arange(len(poses)) / fps, rng)
    arms = [
        np.concatenate([np.stack([limb.shoulder, limb.elbow, limb.wrist], axis=1), limb.fingers.reshape(-1, 20, 2)], 1)
        for limb in limbs
    ]
    points: np.ndarray = (np.concatenate([*arms, head.keypoints()], axis=1) + 0.5) / canvas
    return points


def _posed(
    poses: np.ndarray, signer: int, canvas: int, seconds: np.ndarray, rng: np.random.Generator
) -> tuple[Camera, Head, Limb, Limb]:
    """The camera on `canvas` pixels, the head, the right and the left arm: the first that `rng` draws."""
    camera = Camera(SIGNERS[signer], _sway(seconds, rng) * canvas, float(rng.uniform(0.97, 1.03)) * canvas)
    head = Head(camera, poses[:, hands.FACE], _lids(seconds, rng))
    return camera, head, Limb(camera, poses[:, hands.DOMINANT], -1), Limb(camera, poses[:, hands.PASSIVE], 1)


def _draw_clip(poses: np.ndarray, signer: int, size: int, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    enlarged = size < _SUPERSAMPLE_BELOW
    canvas = 2 * size if enlarged else size
    camera, head, right, left = _posed(poses, signer, canvas, seconds, rng)
    background = [*head.back_hair(), *_torso(camera), *head.strokes(), *left.arm(), *right.arm()]
    drawn_hands = (left.hand(), right.hand())
    wall, tile = _wall(signer, canvas), _noise_tile(size, rng)
    corners = rng.integers(0, _NOISE_ROOM, (len(poses), 2))
    gain, level, start = rng.uniform(0.94, 1.06), rng.normal(0, 5.0), rng.uniform(0, 2 * np.pi)
    drift = level + 4.0 * np.sin(0.8 * seconds + start) - _NOISE_MIDDLE
    frames = np.empty((len(poses), size, size, 3), np.uint8)
    picture = np.empty_like(wall)
    for t, (y, x) in enumerate(corners):
        np.copyto(picture, wall)
        for stroke in background:
            stroke.paint(picture, t)
        for order, parts in drawn_hands:
            for part in order[t]:
                for stroke in parts[part]:
                    stroke.paint(picture, t)
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) if enlarged else picture
        cv2.addWeighted(small, gain, tile[y : y + size, x : x + size], 1.0, float(drift[t]), dst=frames[t])
    return frames


class Limb:
    """One arm and its hand through a clip. `numbers` (T,29) as in a pose; `side` as in `Camera.pixels`."""

    def __init__(self, camera: Camera, numbers: np.ndarray, side: int) -> None:
        who, axes = camera.who, hands.axes_of(numbers[:, hands.TURN])
        self.camera, self.facing = camera, axes[:, 2, 2]  # 1: the palm faces the viewer, -1: the back of the hand
        from_wrist = axes[:, :, 1] * (hands.HAND_CENTRE * who.hand_length)
        elbow, wrist = hands.elbows(who, numbers[:, hands.CENTRE] - from_wrist)
        turned = axes.transpose(0, 2, 1) * who.hand_length
        bones = hands.joints(numbers[:, hands.SHAPE])
        fingers = (bones.reshape(len(bones), -1, 3) @ turned).reshape(bones.shape) + wrist[:, None, None]
        palm = hands.PALM @ turned + wrist[:, None]
        depth = np.concatenate([fingers[..., 2].mean(2), palm[..., 2].mean(1, keepdims=True)], axis=1)
        self.order = np.argsort(depth, axis=1).tolist()  # five fingers, palm last
        shoulder = np.broadcast_to(np.array((who.shoulder, 0.0, 0.0)), wrist.shape)
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
        """The order of the six parts by depth in every frame, far ones first; the strokes of each part.

        Every part has a dark edge, so that crossing fingers can be told apart.
        """
        unit, edge = self.camera.who.hand_length * self.camera.scale, self.camera.edge
        skin, dark = self._skin(), mix(self.camera.who.skin, (20, 0, 0), 0.62)
        parts = []
        for finger in range(5):
            width = (0.122 if finger == 0 else 0.110) * unit
            path = self.fingers[:, finger]
            parts.append([Stroke.line(path, max(2.0, width + edge), dark), Stroke.line(path, width - edge, skin)])
        thick = 0.07 * unit  # half of the palm's thickness
        edges = ((edge / 2, dark), (-edge / 2, skin))
        parts.append([Stroke.hull(self.palm, thick + more, paint) for more, paint in edges])
        return self.order, parts

    def _skin(self) -> list[Colour]:
        """Palms are lighter and redder than the backs of hands."""
        skin = self.camera.who.skin
        palms = [mix(skin, (255, 214, 200), 0.35 * front) for front in np.maximum(0, self.facing).tolist()]
        backs = np.maximum(0, -self.facing)
        return [mix(palm, (0, 0, 0), 0.14 * back) for palm, back in zip(palms, backs, strict=True)]


class Head:
    """A head through a clip. `face` (T,5): brows, mouth open, mouth width, tilt, nod; `lids` (T,): 1 open, 0 shut."""

    def __init__(self, camera: Camera, face: np.ndarray, lids: np.ndarray) -> None:
        self.who, self.scale, self.lids = camera.who, camera.scale, lids
        self.brows, self.opened, self.width = face[:, 0], face[:, 1], face[:, 2]
        self.low = 0.016 * face[:, 4]  # nodding moves the features down on the face
        tilt = face[:, 3] * _TILT
        right = np.stack([np.cos(tilt), np.sin(tilt)], axis=1)
        down = np.stack([-np.sin(tilt), np.cos(tilt)], axis=1)
        lift = _HEAD_CENTRE - _NECK - 0.018 * np.abs(face[:, 4:5])
        self.axes = np.stack([right, down], axis=1) * self.scale  # rows: a step to the right, a step down
        self.centre = camera.origin - np.array((0.0, _NECK)) * self.scale - down * lift * self.scale
        self.half = (_HEAD_HALF_WIDTH * self.who.head * self.who.face_width, _HEAD_HALF_HEIGHT * self.who.head)

    def strokes(self) -> Iterator[Stroke]:
        """All strokes except the hair behind the neck, from back to front."""
        who, (wide, high) = self.who, self.half
        for side in (-1, 1):
            yield self._oval((side * wide * 0.98, 0.015), (0.02, 0.034), mix(who.skin, (60, 10, 0), 0.18))
        yield self._oval((0, 0), (wide, high), mix(who.skin, (30, 0, 0), 0.5), points=36)
        yield self._oval((0, 0), (wide - 0.006, high - 0.006), who.skin, points=36)
        if who.hair_style != "bald":
            yield self._front_hair()
        for side in (-1, 1):
            yield from self._eye(side)
        yield self._line(self._features(*_NOSE), 0.007, mix(who.skin, (40, 0, 0), 0.34))
        yield from self._mouth()

    def _eye(self, side: int) -> Iterator[Stroke]:
        """Eye, brow and half of the glasses, if any."""
        high = (0.0125 + 0.004 * np.maximum(0.0, self.brows)) * (0.12 + 0.88 * self.lids)
        white = self._features((side * _EYE[0], _EYE[1])) + rounded(14) * _pairs(0.0215, high)
        yield Stroke.fill(self._pixels(white), (244, 242, 240))
        iris = self._features((side * _EYE[0], _EYE[1])) + rounded(10) * _pairs(0.0095, np.minimum(0.0105, high))
        yield Stroke.fill(self._pixels(iris), (40, 28, 24))
        yield self._line(self._brow(side), 0.0115, mix(self.who.hair, (20, 10, 10), 0.45))
        if self.who.glasses:
            rim = self._features((side * 0.046, -0.010)) + rounded(14)[[*range(14), 0]] * (0.036, 0.027)
            yield self._line(rim, 0.006, _BLACK)
            yield self._line(self._features((side * 0.011, -0.012), (0, -0.014)), 0.006, _BLACK)

    def _mouth(self) -> Iterator[Stroke]:
        """Lips around an opening, which is a line in a shut mouth; their corners rise in a smile."""
        for sizes, colour in ((_LIPS, mix(self.who.skin, (150, 30, 40), 0.55)), (_OPENING, (58, 16, 22))):
            yield Stroke.fill(self._pixels(self._rim(*sizes)), colour)

    def _brow(self, side: int) -> np.ndarray:
        """The inner end, the middle and the outer end of a brow on the face (T,3,2)."""
        lift = 0.018 * self.brows
        frown = np.where(self.brows < 0, 0.006, 0.0)  # frowning draws the inner ends down further
        arch = self._features((side * 0.022, -0.043), (side * 0.048, -0.054), (side * 0.074, -0.043))
        arch[:, :, 1] += np.stack([frown - lift, -lift, -0.7 * lift], axis=1)
        return arch

    def _rim(self, across: float, shut: float, open_: float) -> np.ndarray:
        """The edge of the lips or of the opening on the face (T,16,2), from our right corner, then down."""
        half = 0.036 * (1 + np.where(self.width > 0, 0.42, 0.45) * self.width)
        bow = 0.016 * np.maximum(0.0, self.width)
        rim: np.ndarray = rounded(16) * _pairs(across * half, shut + open_ * self.opened)
        rim[:, :, 1] += bow[:, None] * (0.5 - (rim[:, :, 0] / half[:, None]) ** 2)
        rim += self._features((0, 0.084))
        return rim

    def keypoints(self) -> np.ndarray:
        """The face's points of JOINTS in pixels (T,9,2)."""
        eyes = [
            part for side in (-1, 1) for part in (self._features((side * _EYE[0], _EYE[1])), self._brow(side)[:, 1:2])
        ]
        lips = self._rim(*_LIPS)[:, [8, 12, 0, 4]]
        return self._pixels(np.concatenate([*eyes, self._features(_NOSE[-1]), lips], axis=1))

    def back_hair(self) -> Iterator[Stroke]:
        """Hair behind head, neck and shoulders."""
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

    def _front_hair(self) -> Stroke:
        """The part of the head above the hairline."""
        who, (wide, high) = self.who, self.half
        start = 0.60 if who.hair_style == "bun" else 0.50
        turns = np.linspace(np.pi + np.arcsin(start), 2 * np.pi - np.arcsin(start), 13)
        rim = [((wide + 0.008) * np.cos(turn), (high + 0.008) * np.sin(turn)) for turn in turns]
        parting = -0.3 if who.hair_style == "long" else 0.28
        hairline = [(wide * 0.6, -high * 0.60), (parting * wide, -high * 0.74), (-wide * 0.6, -high * 0.58)]
        return Stroke.fill(self._pixels(np.array([[*rim, *hairline]])), who.hair)

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


def _torso(camera: Camera) -> Iterator[Stroke]:
    """Shoulders and chest down to the lower edge, then neck and collar."""
    who, wide = camera.who, camera.who.shoulder
    half = [(0.06, -0.072), (wide - 0.04, -0.03), (wide + 0.02, 0.015), (wide + 0.04, 0.09), (wide + 0.015, 0.30),
            (wide + 0.03, 0.75)]  # fmt: skip
    outline = np.array([*half, *((-x, y) for x, y in half[::-1])])
    neck = np.array([(-0.05, -0.12), (0.05, -0.12), (0.062, -0.07), (0.0, 0.03), (-0.062, -0.07)])
    for points, colour in (
        (outline, mix(who.shirt, (0, 0, 0), 0.45)),
        (outline - np.sign(outline) * (1, 0) * _EDGE + (0, _EDGE), who.shirt),
        (neck, mix(who.skin, (0, 0, 0), 0.16)),
    ):
        yield Stroke.fill(camera.origin[:, None] + points * camera.scale, colour)


def _sway(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The middle of the shoulders (T,2) in fractions of the frame: the camera's position and a slow sway."""
    middle = np.array((0.5, _SHOULDER_LINE)) + rng.normal(0, 0.007, 2)
    starts = rng.uniform(0, 2 * np.pi, 2)
    sway: np.ndarray = middle + 0.006 * np.sin(seconds[:, None] * (2.1, 1.3) + starts)
    return sway


def _lids(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How open the eyes are (T,): 1, or 0 during blinks of an eighth of a second."""
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
    """Sensor noise around 128 in a tile larger than a frame: every frame uses another part of it."""
    side = size + _NOISE_ROOM
    noise = rng.standard_normal((side, side, 3), dtype=np.float32) * _NOISE + _NOISE_MIDDLE
    tile: np.ndarray = np.clip(noise, 0, 255).astype(np.uint8)
    return tile
