"""Signs in a row -> the pose of every frame: rest, transition, sign, transition, ..., rest.

A pose is one row of numbers: for each hand centre (3), turn as a quaternion (4) and handshape (22), then the face
(brows, mouth open, mouth width, head tilt, head nod). All of them are eased from sign to sign; within a sign the
movement is added to where the sign is held. T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glossfree.avatar.body import (
    BASE_PLACE,
    HAND,
    HIGHEST,
    LOWEST,
    OUTERMOST,
    PAIRED_OUTWARD,
    PLACES,
    REST_PLACE,
)
from glossfree.avatar.hands import CENTRE as HAND_CENTRE
from glossfree.avatar.hands import NUM_SHAPE, axes_of, axis_turn, compose, orientation_numbers, shape_numbers
from glossfree.avatar.signer import Signer
from glossfree.avatar.signs import Sign

NUM_HAND, NUM_FACE = 7 + NUM_SHAPE, 5
DOMINANT, PASSIVE = slice(0, NUM_HAND), slice(NUM_HAND, 2 * NUM_HAND)
FACE = slice(2 * NUM_HAND, 2 * NUM_HAND + NUM_FACE)
CENTRE, TURN, SHAPE = slice(0, 3), slice(3, 7), slice(7, NUM_HAND)

REST_SECONDS, TRANSITION_SECONDS = 0.14, 0.15
# Of the signing itself; movements that need more than one stroke take longer.
_SECONDS = {"hold": 0.32, "circle": 0.46, "zigzag": 0.46, "tap": 0.42, "shake": 0.42, "wiggle": 0.42, "twist": 0.42}
_OTHER_SECONDS = 0.37
_SIZE = 0.10  # of a movement to either side of its place, fraction of the frame

_BROWS = {"neutral": 0.0, "up": 1.0, "down": -1.0}
_MOUTHS = {"closed": (0.0, 0.0), "open": (1.0, 0.0), "round": (0.55, -1.0), "wide": (0.3, 1.0), "smile": (0.0, 1.0)}


@dataclass(frozen=True)
class Habit:
    """How this clip is signed: the signer's manner and the chance of the day."""

    pace: float
    reach: float
    shift: tuple[float, float]

    @classmethod
    def of(cls, signer: Signer, rng: np.random.Generator) -> Habit:
        """The signer's habits, each jittered by a few per cent."""
        pace, reach = signer.pace * rng.uniform(0.92, 1.08), signer.reach * rng.uniform(0.92, 1.08)
        outward, up = np.add(signer.shift, rng.normal(0, 0.008, 2))
        return cls(float(pace), float(reach), (float(outward), float(up)))


def sign_frames(sign: Sign, habit: Habit, fps: float, jitter: float) -> int:
    """Frames of a sign, at least two; `jitter` is the chance factor around 1."""
    seconds = _SECONDS.get(sign.movement, _OTHER_SECONDS) * jitter / habit.pace
    return max(2, round(seconds * fps))


def pause_frames(seconds: float, habit: Habit, fps: float) -> int:
    """Frames of a transition or of the rest at either end, at least one."""
    return max(1, round(seconds * fps / habit.pace))


def rest_pose() -> np.ndarray:
    """Both hands low before the body, relaxed: (1,63)."""
    hand = np.concatenate([REST_PLACE, orientation_numbers("back_inward"), shape_numbers("relaxed")])
    return np.concatenate([hand, hand, np.zeros(NUM_FACE)])[None]


def sign_poses(sign: Sign, habit: Habit, phase: np.ndarray, shake: np.ndarray) -> np.ndarray:
    """One sign at the moments `phase` (T,) in [0,1] -> poses (T,63). `shake` (3,): this clip's slip of the place."""
    count = len(phase)
    poses = np.repeat(rest_pose(), count, axis=0)
    place = np.array(PLACES[sign.place])
    place[:2] = place[:2] * habit.reach + habit.shift
    both = sign.hands in ("mirrored", "alternating")
    if both:
        place[0] = max(place[0], PAIRED_OUTWARD)
    path = _path(sign.movement, phase) * _SIZE * habit.reach
    poses[:, DOMINANT] = _hand(sign, sign.handshape, place + shake + path, phase)
    if both:
        other = path * (1, -1, 1) if sign.hands == "alternating" else path
        poses[:, PASSIVE] = _hand(sign, sign.handshape, place + shake + other, phase)
    elif sign.hands == "base":
        still = np.broadcast_to(np.add(BASE_PLACE, shake), (count, 3))
        turn = np.broadcast_to(orientation_numbers("back_inward"), (count, 4))
        shape = np.broadcast_to(shape_numbers(sign.base), (count, NUM_SHAPE))
        poses[:, PASSIVE] = np.concatenate([still, turn, shape], axis=1)
    poses[:, FACE] = _face(sign, phase)
    return poses


def join(before: np.ndarray, after: np.ndarray, count: int) -> np.ndarray:
    """The last pose (63,) of a sign, the first of the next -> (count,63) poses between, eased in and out."""
    share = np.arange(1, count + 1)[:, None] / (count + 1)
    share = share * share * (3 - 2 * share)
    poses: np.ndarray = before + (after - before) * share
    for hand in (DOMINANT, PASSIVE):
        turn = slice(hand.start + TURN.start, hand.start + TURN.stop)
        sign = 1.0 if before[turn] @ after[turn] >= 0 else -1.0  # the shorter way round
        poses[:, turn] = before[turn] * (1 - share) + sign * after[turn] * share
    return poses


def _hand(sign: Sign, handshape: str, centres: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """(T,29): where the hand is, how it is turned, how its fingers are bent."""
    count = len(phase)
    turns = np.broadcast_to(orientation_numbers(sign.orientation), (count, 4))
    shapes = np.repeat(shape_numbers(handshape)[None], count, axis=0)
    if sign.movement == "twist":
        turns = compose(turns, axis_turn(1, np.radians(55) * np.sin(3 * np.pi * phase)))
    elif sign.movement == "swing":
        swung = compose(axis_turn(2, np.radians(50) * np.sin(2 * np.pi * phase)), turns)
        # From the wrist: the centre of the hand follows its fingers.
        centres = centres + (axes_of(swung) - axes_of(turns))[:, :, 1] * (HAND_CENTRE * HAND)
        turns = swung
    elif sign.movement == "wiggle":
        offsets = np.array((0.0, 0.5, 1.0, 1.5)) * np.pi
        wave = 0.5 * np.sin(5 * np.pi * phase[:, None] + offsets)
        shapes[:, 0:12:3] += wave + 0.3
    elif sign.movement == "grasp":
        # From the open hand into the handshape, or out of it where the shape itself is open.
        closed = shapes[:, :12].mean() > 0.7
        start = shape_numbers("spread" if closed else "fist")
        share = np.clip(1.6 * phase - 0.2, 0, 1)[:, None]
        shapes = start + (shapes - start) * share
    centres = np.clip(centres, (-OUTERMOST, LOWEST, -1), (OUTERMOST, HIGHEST, 1))
    return np.concatenate([centres, turns, shapes], axis=1)


def _path(movement: str, phase: np.ndarray) -> np.ndarray:
    """Offsets (T,3) from the place, outward, up, forward, in half sizes of the movement."""
    wave = 2 * np.pi * phase
    ramp = 1 - 2 * phase  # from one side to the other
    ramp = np.sign(ramp) * np.sin(np.abs(ramp) * np.pi / 2)
    zero = np.zeros_like(phase)
    paths = {
        "up": (zero, -ramp),
        "down": (zero, ramp),
        "inward": (ramp, zero),
        "outward": (-ramp, zero),
        "diagonal": (-0.8 * ramp, -0.8 * ramp),
        "arc": (-np.cos(np.pi * phase), 1.1 * np.sin(np.pi * phase) - 0.3),
        "circle": (0.8 * np.sin(wave), 0.8 * np.cos(wave)),
        "zigzag": (0.7 * np.sin(1.5 * wave), 1.1 * ramp),
        "tap": (zero, 0.75 * np.abs(np.sin(wave))),
        "shake": (0.6 * np.sin(2 * wave), zero),
        "grasp": (zero, 0.25 * ramp),
    }
    outward, up = paths.get(movement, (zero, zero))
    return np.stack([outward, up, zero], axis=1)


def _face(sign: Sign, phase: np.ndarray) -> np.ndarray:
    """(T,5): brows -1..1, mouth open 0..1, mouth width -1..1, tilt and nod of the head -1..1."""
    bump = np.sin(np.pi * np.clip(phase, 0, 1)) ** 0.5
    opened, width = _MOUTHS[sign.mouth]
    tilt = {"left": bump, "right": -bump, "shake": np.sin(3 * np.pi * phase) * 0.8}.get(sign.head, 0 * bump)
    nod = np.sin(2 * np.pi * phase) if sign.head == "nod" else 0 * bump
    return np.stack([_BROWS[sign.brows] * bump, opened * bump, width * bump, tilt, nod], axis=1)
