"""Poses -> frames: the wall, the body, the face, two arms and two hands, then the camera's noise.

All geometry of a clip is computed at once; a frame is then some eighty calls of OpenCV. Coordinates are pixels with
four fractional bits. T frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from glossfree.corpora.avatar import body
from glossfree.corpora.avatar.body import Build
from glossfree.corpora.avatar.face import Head, draw_head
from glossfree.corpora.avatar.hands import CENTRE as HAND_CENTRE
from glossfree.corpora.avatar.hands import PALM, axes_of, joints
from glossfree.corpora.avatar.motion import CENTRE, DOMINANT, FACE, PASSIVE, SHAPE, TURN
from glossfree.corpora.avatar.pen import Pen, mix
from glossfree.corpora.avatar.signer import SIGNERS, Signer

_SUPERSAMPLE_BELOW = 150  # pixels: smaller frames are drawn at twice the size
_NOISE, _NOISE_ROOM = 5.0, 24  # standard deviation in grey levels; pixels that the tile is larger than the frame


@dataclass(frozen=True)
class Limb:
    """One arm and hand through a clip, in pixels: the paths to draw, far parts of the hand first."""

    arm: np.ndarray  # (T,3,2) shoulder, elbow, wrist
    palm: np.ndarray  # (T,7,2)
    fingers: np.ndarray  # (T,5,4,2)
    order: np.ndarray  # (T,6) parts by depth; 5 is the palm
    facing: np.ndarray  # (T,) 1: the palm faces the viewer, -1: the back of the hand
    knuckles_near: np.ndarray  # (T,5) is a fingertip nearer to the viewer than its base


def draw_clip(poses: np.ndarray, signer: int, size: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Poses (T,63) -> frames (T,size,size,3) uint8 RGB. `rng` moves camera, sway, noise and brightness."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as many clips are rendered side by side as there are cores
    try:
        return _draw_clip(poses, signer, size, fps, rng)
    finally:
        cv2.setNumThreads(threads)


def _draw_clip(poses: np.ndarray, signer: int, size: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    who, count = SIGNERS[signer], len(poses)
    scale = 2 if size < _SUPERSAMPLE_BELOW else 1
    canvas = size * scale
    zoom, middle = rng.uniform(0.97, 1.03), np.array((0.5, body.SHOULDER_LINE)) + rng.normal(0, 0.007, 2)
    seconds = np.arange(count) / fps
    sway = 0.006 * np.stack([np.sin(2.1 * seconds + rng.uniform(0, 6)), np.sin(1.3 * seconds + rng.uniform(0, 6))], 1)
    origin = (middle + sway) * canvas
    build = Build.of(who)
    left, right = (
        _limb(poses[:, hand], build, origin, side * zoom * canvas, zoom * canvas)
        for hand, side in ((PASSIVE, 1), (DOMINANT, -1))
    )
    heads = Head.track(who, poses[:, FACE], origin, zoom * canvas)
    wall = _wall(signer, canvas)
    tile = _noise_tile(size, rng)
    corners = rng.integers(0, _NOISE_ROOM, (count, 2))
    drift = -128.0 + 5.0 * np.sin(0.8 * seconds + rng.uniform(0, 6)) + rng.normal(0, 5.0)
    gain = rng.uniform(0.94, 1.06)
    frames = np.empty((count, size, size, 3), np.uint8)
    picture = np.empty_like(wall)
    pen = Pen(picture, zoom * canvas)
    for t in range(count):
        np.copyto(picture, wall)
        _torso(pen, who, build, origin[t])
        draw_head(pen, who, heads, t)
        for limb in (left, right):
            _arm(pen, who, build, limb.arm[t])
        for limb in (left, right):
            _hand(pen, who, build, limb, t)
        small = picture if scale == 1 else cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        y, x = corners[t]
        cv2.addWeighted(small, gain, tile[y : y + size, x : x + size], 1.0, float(drift[t]), dst=frames[t])
    return frames


def _limb(hand: np.ndarray, build: Build, origin: np.ndarray, across: float, down: float) -> Limb:
    """Numbers of one hand (T,29) -> what is drawn of it. `across`, `down`: pixels per frame side, signed by side."""
    axes = axes_of(hand[:, TURN])
    wrists = hand[:, CENTRE] - axes[:, :, 1] * (HAND_CENTRE * build.hand)
    elbow, wrist = body.elbows(build, wrists)
    bones = joints(hand[:, SHAPE])
    in_space = np.einsum("tij,tfkj->tfki", axes, bones) * build.hand + wrist[:, None, None]
    palm = np.einsum("tij,kj->tki", axes, PALM) * build.hand + wrist[:, None]

    def pixels(points: np.ndarray) -> np.ndarray:
        start = origin.reshape(len(points), *[1] * (points.ndim - 2), 2)
        return points[..., :2] * (across, -down) + start

    shoulder = np.broadcast_to(np.array((build.shoulder, 0.0, 0.0)), wrist.shape)
    depth = np.concatenate([in_space[:, :, :, 2].mean(2), palm[:, :, 2].mean(1, keepdims=True)], axis=1)
    return Limb(
        arm=pixels(np.stack([shoulder, elbow, wrist], axis=1)),
        palm=pixels(palm),
        fingers=pixels(in_space),
        order=np.argsort(depth, axis=1),
        facing=axes[:, 2, 2],
        knuckles_near=in_space[:, :, -1, 2] > in_space[:, :, 0, 2],
    )


def _torso(pen: Pen, who: Signer, build: Build, origin: np.ndarray) -> None:
    """Shoulders and chest down to the lower edge, then neck and collar."""
    wide = build.shoulder
    outline = [
        (-wide - 0.035, 0.10), (-wide - 0.02, 0.02), (-wide + 0.04, -0.028), (-0.06, -0.072), (0.06, -0.072),
        (wide - 0.04, -0.028), (wide + 0.02, 0.02), (wide + 0.035, 0.10), (wide - 0.01, 0.30), (wide, 0.75),
        (-wide, 0.75), (-wide + 0.01, 0.30),
    ]  # fmt: skip
    pen.shape(outline, origin, who.shirt, mix(who.shirt, (0, 0, 0), 0.45))
    pen.shape([(-0.05, -0.12), (0.05, -0.12), (0.062, -0.07), (0.0, 0.03), (-0.062, -0.07)], origin,
              mix(who.skin, (0, 0, 0), 0.16), None)  # fmt: skip


def _arm(pen: Pen, who: Signer, build: Build, arm: np.ndarray) -> None:
    """Upper arm, then forearm; sleeves end at the wrist or above the elbow."""
    sleeve = mix(who.shirt, (255, 255, 255), 0.07)
    edge = mix(who.shirt, (0, 0, 0), 0.5)
    lower, lower_edge = (who.skin, mix(who.skin, (0, 0, 0), 0.45)) if who.bare_arms else (sleeve, edge)
    shoulder, elbow, wrist = arm
    pen.capsule(shoulder, elbow, 0.056, 0.046, sleeve, edge)
    pen.capsule(elbow, wrist, 0.044, 0.031, lower, lower_edge)


def _hand(pen: Pen, who: Signer, build: Build, limb: Limb, t: int) -> None:
    """Palm and fingers, far ones first, each with a dark edge so that they stay apart when they cross."""
    front = float(limb.facing[t])
    skin = mix(who.skin, (255, 214, 200), 0.35 * front) if front > 0 else mix(who.skin, (0, 0, 0), -0.14 * front)
    edge = mix(who.skin, (20, 0, 0), 0.62)
    thick = 0.108 * build.hand
    for part in limb.order[t]:
        if part == 5:
            pen.palm(limb.palm[t], 0.07 * build.hand, skin, edge)
        else:
            pen.finger(limb.fingers[t, part], thick * (1.12 if part == 0 else 1.0), skin, edge)


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
    return np.clip(np.add(who.wall, shade[..., None]), 0, 255).astype(np.uint8)


def _noise_tile(size: int, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise around 128, larger than a frame: every frame takes another cut of it."""
    side = size + _NOISE_ROOM
    noise = rng.standard_normal((side, side, 3), dtype=np.float32) * _NOISE + 128
    return np.clip(noise, 0, 255).astype(np.uint8)
