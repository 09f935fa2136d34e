"""A gloss sequence -> a clip of a person who signs it, with the exact span of every sign.

A clip is rest, transition, sign, transition, ..., rest. A pose is one row of 63 numbers: for each hand centre (3), turn
as a quaternion (4) and handshape (22), then the face (brows, mouth open, mouth width, head tilt, head nod). All of them
are eased from sign to sign; within a sign the movement is added to the place of the sign. T frames.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from glossfree.avatar import hands
from glossfree.avatar.draw import JOINTS, draw_clip, keypoints_of
from glossfree.avatar.hands import DOMINANT, PASSIVE, TURN, orientation_numbers, shape_numbers
from glossfree.avatar.signer import HAND, SIGNERS, Signer
from glossfree.avatar.signs import BROWS, MOUTHS, MOVEMENTS, PLACES, Sign, sign_of
from glossfree.corpora.manifest import SignSpan

FPS = 12.5
REST_SECONDS, TRANSITION_SECONDS = 0.14, 0.15
PAIRED_OUTWARD = 0.135  # least distance of two moving hands from the midline
OUTERMOST, LOWEST, HIGHEST = 0.40, -0.44, 0.39  # limits of a hand's centre, to stay in the frame
_BASE_PLACE, _REST_PLACE = (0.0, -0.36, 0.18), (0.10, -0.47, 0.12)
_SIZE = 0.10  # of a movement to either side of its place
_PLACE_SLIP = 0.010  # standard deviation per sign


@dataclass(frozen=True)
class Habit:
    """How one clip is signed."""

    pace: float
    reach: float
    shift: tuple[float, float]

    @classmethod
    def of(cls, signer: Signer, rng: np.random.Generator) -> Habit:
        """The signer's habits, each jittered by a few per cent."""
        pace, reach = signer.pace * rng.uniform(0.92, 1.08), signer.reach * rng.uniform(0.92, 1.08)
        outward, up = np.add(signer.shift, rng.normal(0, 0.008, 2))
        return cls(float(pace), float(reach), (float(outward), float(up)))


@dataclass(frozen=True)
class SignedSentence:
    """Glosses, signed by one of the nine signers; the same fields give the same pixels (a manifest.Drawing).

    `seed` varies pace, size, places, durations and camera noise. The pace of signing does not depend on `fps`. `signs`:
    one per gloss, for example from a `lexicon`; by default `sign_of` each gloss. Without a gloss the signer rests for
    half a second. Raises ValueError: no such signer, signs of another length, fps not above 0.
    """

    glosses: tuple[str, ...]
    signer: int
    seed: int
    fps: float = FPS
    signs: tuple[Sign, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.signer < len(SIGNERS):
            raise ValueError(f"signer {self.signer} is not one of 0..{len(SIGNERS) - 1}")
        if self.signs is not None and len(self.signs) != len(self.glosses):
            raise ValueError(f"{len(self.signs)} signs for {len(self.glosses)} glosses")
        if not self.fps > 0:
            raise ValueError(f"fps must be positive, not {self.fps}")

    @cached_property
    def _draws(self) -> tuple[Habit, np.ndarray, np.ndarray]:
        """Habit of the clip, duration factors (G,), slips of place (G,3)."""
        rng = self._rng("habit")
        habit = Habit.of(SIGNERS[self.signer], rng)
        count = len(self.glosses)
        slips = rng.normal(0, _PLACE_SLIP, (count, 3)) * (1, 1, 0)
        return habit, rng.uniform(0.9, 1.1, count), slips

    @cached_property
    def _signs(self) -> tuple[Sign, ...]:
        return tuple(map(sign_of, self.glosses)) if self.signs is None else self.signs

    @cached_property
    def _layout(self) -> tuple[int, int, tuple[int, ...]]:
        """Frames of the rest at either end, of a transition, of each sign."""
        habit, factors, _ = self._draws
        rest, between = (pause_frames(seconds, habit, self.fps) for seconds in (REST_SECONDS, TRANSITION_SECONDS))
        signs = tuple(
            sign_frames(sign, habit, self.fps, factor) for sign, factor in zip(self._signs, factors, strict=True)
        )
        return rest, between, signs

    @property
    def num_frames(self) -> int:
        """T, without rendering."""
        rest, between, signs = self._layout
        return 2 * rest + (len(signs) + 1) * between + sum(signs)

    @property
    def spans(self) -> tuple[SignSpan, ...]:
        """When each gloss is signed, in frames, transitions excluded; without rendering."""
        rest, between, signs = self._layout
        spans, start = [], rest + between
        for gloss, frames in zip(self.glosses, signs, strict=True):
            spans.append(SignSpan(gloss, start, start + frames))
            start += frames + between
        return tuple(spans)

    def poses(self) -> np.ndarray:
        """(T,63) pose of every frame."""
        habit, _, slips = self._draws
        rest, between, lengths = self._layout
        last = rest_pose()
        pieces = [np.repeat(last[None], rest, axis=0)]
        for sign, frames, slip in zip(self._signs, lengths, slips, strict=True):
            phase = np.concatenate([[0.0], (np.arange(frames) + 0.5) / frames, [1.0]])
            poses = sign_poses(sign, habit, phase, slip)
            pieces += [join(last, poses[0], between), poses[1:-1]]
            last = poses[-1]
        return np.concatenate([*pieces, join(last, rest_pose(), between), pieces[0]])

    def render(self, size: int) -> np.ndarray:
        """(T,size,size,3) uint8 RGB, the same pixels at every call."""
        return draw_clip(self.poses(), self.signer, size, self.fps, self._rng("camera"))

    @property
    def joints(self) -> tuple[str, ...]:
        """The names of `keypoints`, J of them."""
        return JOINTS

    def keypoints(self) -> np.ndarray:
        """(T,J,2) where the joints are drawn: x and y in fractions of the frame (see `draw.keypoints_of`)."""
        return keypoints_of(self.poses(), self.signer, self.fps, self._rng("camera"))

    def _rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, seeded by the fields alone."""
        key = "/".join((purpose, str(self.signer), str(self.seed), *self.glosses))
        return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))


def sign_frames(sign: Sign, habit: Habit, fps: float, jitter: float) -> int:
    """Frames of a sign, at least two; `jitter` is a random factor around 1."""
    seconds = MOVEMENTS[sign.movement] * jitter / habit.pace
    return max(2, round(seconds * fps))


def pause_frames(seconds: float, habit: Habit, fps: float) -> int:
    """Frames of a transition or of the rest at either end, at least one."""
    return max(1, round(seconds * fps / habit.pace))


def rest_pose() -> np.ndarray:
    """Both hands low before the body, relaxed: (63,)."""
    hand = np.concatenate([_REST_PLACE, orientation_numbers("back_inward"), shape_numbers(hands.RELAXED)])
    return np.concatenate([hand, hand, np.zeros(hands.NUM_FACE)])


def sign_poses(sign: Sign, habit: Habit, phase: np.ndarray, shake: np.ndarray) -> np.ndarray:
    """One sign at the moments `phase` (T,) in [0,1] -> poses (T,63). `shake` (3,): this clip's slip of the place."""
    count = len(phase)
    poses = np.tile(rest_pose(), (count, 1))
    place = np.array(PLACES[sign.place])
    place[:2] = place[:2] * habit.reach + habit.shift
    both = sign.hands in ("mirrored", "alternating")
    if both:
        place[0] = max(place[0], PAIRED_OUTWARD)
    path = _path(sign.movement, phase) * _SIZE * habit.reach
    poses[:, DOMINANT] = _hand(sign, place + shake + path, phase)
    if both:
        other = path * (1, -1, 1) if sign.hands == "alternating" else path
        poses[:, PASSIVE] = _hand(sign, place + shake + other, phase)
    elif sign.hands == "base":
        still = np.broadcast_to(np.add(_BASE_PLACE, shake), (count, 3))
        turn = np.broadcast_to(orientation_numbers("back_inward"), (count, 4))
        shape = np.broadcast_to(shape_numbers(sign.base), (count, hands.NUM_SHAPE))
        poses[:, PASSIVE] = np.concatenate([still, turn, shape], axis=1)
    poses[:, hands.FACE] = _face(sign, phase)
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


def _hand(sign: Sign, centres: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """(T,29): where the hand is, how it is turned, how its fingers are bent."""
    count = len(phase)
    turns = np.broadcast_to(orientation_numbers(sign.orientation), (count, 4))
    shapes = np.repeat(shape_numbers(sign.handshape)[None], count, axis=0)
    if sign.movement == "twist":
        turns = hands.compose(turns, hands.axis_turn(1, np.radians(55) * np.sin(3 * np.pi * phase)))
    elif sign.movement == "swing":
        swung = hands.compose(hands.axis_turn(2, np.radians(50) * np.sin(2 * np.pi * phase)), turns)
        # From the wrist: the centre of the hand follows its fingers.
        centres = centres + (hands.axes_of(swung) - hands.axes_of(turns))[:, :, 1] * (hands.HAND_CENTRE * HAND)
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
    opened, width = MOUTHS[sign.mouth]
    tilt = {"left": bump, "right": -bump, "shake": np.sin(3 * np.pi * phase) * 0.8}.get(sign.head, 0 * bump)
    nod = np.sin(2 * np.pi * phase) if sign.head == "nod" else 0 * bump
    return np.stack([BROWS[sign.brows] * bump, opened * bump, width * bump, tilt, nod], axis=1)
