"""Handshapes and palm orientations -> joints of a hand in space.

A hand is one unit long from the wrist to the tip of the middle finger. Its own axes: x towards the little finger, y
along the fingers, z out of the palm. Space around the body: outward from the midline, up, forward to the viewer; both
hands use the same numbers, and only the projection mirrors one of them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# Bend in degrees at the three joints of a finger.
_BENDS = {
    "1": (0, 4, 4),  # extended
    "0": (82, 100, 55),  # folded into the palm
    "c": (18, 62, 45),  # curved
    "b": (78, 8, 6),  # bent at the knuckle, straight beyond
    "o": (48, 58, 34),  # its tip meets the thumb
}
# Joints of the thumb after its base: (x, y, z) each.
_THUMBS = {
    "out": ((-0.30, 0.23, 0.03), (-0.44, 0.33, 0.04), (-0.56, 0.41, 0.04)),
    "in": ((-0.25, 0.24, 0.03), (-0.27, 0.39, 0.05), (-0.25, 0.52, 0.06)),
    "across": ((-0.22, 0.25, 0.10), (-0.07, 0.32, 0.19), (0.07, 0.33, 0.20)),
    "meet": ((-0.24, 0.21, 0.12), (-0.22, 0.33, 0.25), (-0.15, 0.44, 0.36)),
}
# Name: index, middle, ring, little finger; spread 0-1; thumb.
_SHAPES = {
    "flat": ("1111", 0.0, "in"),
    "spread": ("1111", 1.0, "out"),
    "four": ("1111", 0.8, "across"),
    "fist": ("0000", 0.0, "across"),
    "thumb": ("0000", 0.0, "out"),
    "index": ("1000", 0.0, "across"),
    "gun": ("1000", 0.0, "out"),
    "two": ("1100", 1.2, "across"),
    "two_closed": ("1100", 0.0, "across"),
    "three": ("1100", 1.0, "out"),
    "w": ("1110", 1.0, "across"),
    "pinky": ("0001", 0.4, "across"),
    "horns": ("1001", 0.4, "across"),
    "plane": ("0001", 0.8, "out"),
    "claw": ("cccc", 1.0, "out"),
    "round": ("cccc", 0.0, "meet"),
    "bent": ("bbbb", 0.0, "in"),
    "hook": ("c000", 0.0, "across"),
    "bent_two": ("cc00", 1.0, "across"),
    "ring": ("o111", 0.8, "meet"),
    "pinch": ("o000", 0.0, "meet"),
    "beak": ("bbbb", 0.0, "meet"),
    "relaxed": ("cccc", 0.2, "in"),
}
# Name: direction of the fingers, direction out of the palm (made perpendicular to it), both (outward, up, forward).
_ORIENTATIONS = {
    "front_up": ((-0.05, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "back_up": ((-0.15, 1.0, 0.1), (0.0, 0.0, -1.0)),
    "side_up": ((-0.1, 1.0, 0.15), (-1.0, 0.0, 0.25)),
    "front_tilted": ((-0.85, 0.6, 0.0), (0.0, 0.0, 1.0)),
    "back_inward": ((-1.0, 0.15, 0.1), (0.0, 0.0, -1.0)),
    "down_inward": ((-0.75, -0.2, 0.5), (0.0, -0.85, -0.5)),
    "up_inward": ((-0.6, -0.1, 0.7), (0.0, 0.75, 0.65)),
    "back_down": ((-0.2, -1.0, 0.15), (0.0, 0.0, -1.0)),
}
_KNUCKLES = np.array([(-0.175, 0.47, 0), (-0.06, 0.50, 0), (0.06, 0.48, 0), (0.17, 0.43, 0)])
_LENGTHS = np.array([(0.23, 0.14, 0.10), (0.25, 0.15, 0.10), (0.23, 0.14, 0.10), (0.18, 0.11, 0.09)])
_SPREAD = np.radians([-17, -5, 7, 20])
_THUMB_BASE = np.array((-0.15, 0.08, 0.02))
PALM = np.array([
    (-0.12, 0.02, 0), (0.11, 0.02, 0), (0.18, 0.40, 0), (0.07, 0.47, 0), (-0.06, 0.48, 0), (-0.18, 0.44, 0),
    (-0.19, 0.18, 0),
])  # fmt: skip
CENTRE = 0.48  # of the hand, along its fingers: the point that is led to a sign's place
NUM_SHAPE = 22  # numbers of a handshape: 12 bends, spread, 9 thumb coordinates


@lru_cache
def shape_numbers(name: str) -> np.ndarray:
    """Handshape -> (22,) numbers that may be interpolated: bends in radians, spread, thumb joints."""
    fingers, spread, thumb = _SHAPES[name]
    bends = np.radians([_BENDS[finger] for finger in fingers])
    return np.concatenate([bends.ravel(), [spread], np.ravel(_THUMBS[thumb])])


@lru_cache
def orientation_numbers(name: str) -> np.ndarray:
    """Orientation -> (4,) unit quaternion (w, x, y, z) that turns the hand's axes into space."""
    fingers, palm = (np.array(vector) for vector in _ORIENTATIONS[name])
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
