"""Handshapes, palm orientations and wrists -> joints of hands and arms in space.

A hand is one unit long from the wrist to the tip of the middle finger. Its own axes: x towards the little finger, y
along the fingers, z out of the palm. Space around the body: outward from the midline, up, forward to the viewer; both
arms use the same numbers, and only the projection mirrors one of them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from glossfree.avatar.signer import Signer
from glossfree.avatar.signs import HANDSHAPES, ORIENTATIONS

# Bend in degrees at the three joints of a finger.
_BENDS = {"1": (0, 4, 4), "0": (82, 100, 55), "c": (18, 62, 45), "b": (78, 8, 6), "o": (48, 58, 34)}
# Joints of the thumb after its base: (x, y, z) each.
_THUMBS = {
    "out": ((-0.30, 0.23, 0.03), (-0.44, 0.33, 0.04), (-0.56, 0.41, 0.04)),
    "in": ((-0.25, 0.24, 0.03), (-0.27, 0.39, 0.05), (-0.25, 0.52, 0.06)),
    "across": ((-0.22, 0.25, 0.10), (-0.07, 0.32, 0.19), (0.07, 0.33, 0.20)),
    "meet": ((-0.24, 0.21, 0.12), (-0.22, 0.33, 0.25), (-0.15, 0.44, 0.36)),
}
_KNUCKLES = np.array([(-0.175, 0.47, 0), (-0.06, 0.50, 0), (0.06, 0.48, 0), (0.17, 0.43, 0)])
_LENGTHS = np.array([(0.23, 0.14, 0.10), (0.25, 0.15, 0.10), (0.23, 0.14, 0.10), (0.18, 0.11, 0.09)])
_SPREAD = np.radians([-17, -5, 7, 20])
_THUMB_BASE = np.array((-0.15, 0.08, 0.02))
PALM = np.array([
    (-0.12, 0.02, 0), (0.11, 0.02, 0), (0.18, 0.40, 0), (0.07, 0.47, 0), (-0.06, 0.48, 0), (-0.18, 0.44, 0),
    (-0.19, 0.18, 0),
])  # fmt: skip
HAND_CENTRE = 0.48  # along the fingers: the point of the hand that goes to a sign's place
RELAXED = "relaxed"  # the handshape between signs
NUM_SHAPE = 22  # numbers of a handshape: 12 bends, spread, 9 thumb coordinates

# Parts of a pose: two hands, then the face; parts of a hand.
NUM_HAND, NUM_FACE = 7 + NUM_SHAPE, 5
DOMINANT, PASSIVE = slice(0, NUM_HAND), slice(NUM_HAND, 2 * NUM_HAND)
FACE = slice(2 * NUM_HAND, 2 * NUM_HAND + NUM_FACE)
CENTRE, TURN, SHAPE = slice(0, 3), slice(3, 7), slice(7, NUM_HAND)


@lru_cache
def shape_numbers(name: str) -> np.ndarray:
    """Handshape -> (22,) numbers that can be interpolated: bends in radians, spread, thumb joints."""
    fingers, spread, thumb = ("cccc", 0.2, "in") if name == RELAXED else HANDSHAPES[name]
    bends = np.radians([_BENDS[finger] for finger in fingers])
    return np.concatenate([bends.ravel(), [spread], np.ravel(_THUMBS[thumb])])


@lru_cache
def orientation_numbers(name: str) -> np.ndarray:
    """Orientation -> (4,) unit quaternion (w, x, y, z) that turns the hand's axes into space."""
    fingers, palm = (np.array(vector) for vector in ORIENTATIONS[name])
    fingers = fingers / np.linalg.norm(fingers)
    palm = palm - fingers * (palm @ fingers)
    palm /= np.linalg.norm(palm)
    axes = np.stack([np.cross(fingers, palm), fingers, palm], axis=1)
    trace = np.trace(axes)
    size = np.sqrt(np.maximum(0.0, [1 + trace, *(1 + 2 * np.diag(axes) - trace)])) / 2
    skew = (axes[2, 1] - axes[1, 2], axes[0, 2] - axes[2, 0], axes[1, 0] - axes[0, 1])
    return np.copysign(size, (1.0, *skew))


def axis_turn(axis: int, angles: np.ndarray) -> np.ndarray:
    """Angles (T,) in radians about axis 0, 1 or 2 -> quaternions (T,4)."""
    turn = np.zeros((len(angles), 4))
    turn[:, 0], turn[:, 1 + axis] = np.cos(angles / 2), np.sin(angles / 2)
    return turn


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Quaternions (...,4): the turn `second`, then the turn `first`."""
    w, v = first[..., :1], first[..., 1:]
    u, r = second[..., :1], second[..., 1:]
    real = w * u - (v * r).sum(-1, keepdims=True)
    return np.concatenate([real, w * r + u * v + np.cross(v, r)], axis=-1)


def axes_of(turns: np.ndarray) -> np.ndarray:
    """Quaternions (T,4), not necessarily unit -> rotation matrices (T,3,3), columns = the hand's axes in space."""
    w, x, y, z = (turns / np.linalg.norm(turns, axis=1, keepdims=True)).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def joints(shapes: np.ndarray) -> np.ndarray:
    """Handshape numbers (T,22) -> joints (T,5,4,3) in the hand's axes: thumb first, base to tip."""
    count = len(shapes)
    bends = np.cumsum(shapes[:, :12].reshape(count, 4, 3), axis=2)
    sideways = shapes[:, 12, None, None] * _SPREAD[None, :, None]
    steps = np.stack([np.sin(sideways) * np.cos(bends), np.cos(sideways) * np.cos(bends), np.sin(bends)], axis=-1)
    result = np.empty((count, 5, 4, 3))
    result[:, 0, 0], result[:, 0, 1:] = _THUMB_BASE, shapes[:, 13:].reshape(count, 3, 3)
    result[:, 1:, 0] = _KNUCKLES
    result[:, 1:, 1:] = _KNUCKLES[:, None] + np.cumsum(steps * _LENGTHS[None, :, :, None], axis=2)
    return result


def elbows(who: Signer, wrists: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrists (T,3) -> elbows and reachable wrists, (T,3) each: two-link inverse kinematics.

    Possible elbows form a circle. The lowest one is used, a little outward, behind a low wrist and in front of a high
    one, so that the choice never jumps. A wrist out of reach moves along its line to the shoulder.
    """
    shoulder = np.array((who.shoulder, 0.0, 0.0))
    line = wrists - shoulder
    distance = np.linalg.norm(line, axis=1, keepdims=True)
    direction = line / np.maximum(distance, 1e-6)
    upper, lower = who.upper_arm, who.forearm
    distance = np.clip(distance, abs(upper - lower) + 0.01, 0.995 * (upper + lower))
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    radius = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    forward = np.interp(wrists[:, 1], (-0.2, 0.1), (-0.6, 0.8))
    hanging = np.stack([np.full_like(forward, 0.45), np.full_like(forward, -1.0), forward], axis=1)
    aside = hanging - direction * (direction * hanging).sum(1, keepdims=True)
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-6)
    return shoulder + direction * along + aside * radius, shoulder + direction * distance
