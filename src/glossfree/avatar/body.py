"""Where things are on a signer: places of signs, shoulders, elbows.

Lengths are fractions of the frame's side. Space: outward from the midline, up from the line of the shoulders, forward
to the viewer. Both arms use the same numbers; the projection mirrors one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glossfree.avatar.signer import Signer

SHOULDER_LINE = 0.47  # of the frame, from its top
HEAD_CENTRE, HEAD_HALF_HEIGHT, HEAD_HALF_WIDTH = 0.26, 0.152, 0.112
HAND = 0.225  # wrist to fingertip
_SHOULDER, _UPPER_ARM, _FOREARM = 0.185, 0.27, 0.25

# The centre of the signing hand: outward, up, forward.
PLACES = {
    "forehead": (0.03, 0.33, 0.12),
    "temple": (0.17, 0.30, 0.08),
    "cheek": (0.15, 0.19, 0.10),
    "chin": (0.02, 0.12, 0.14),
    "near_shoulder": (0.21, 0.02, 0.10),
    "far_shoulder": (-0.17, -0.02, 0.14),
    "chest": (0.05, -0.10, 0.14),
    "belly": (0.06, -0.32, 0.16),
    "high": (0.31, 0.22, 0.10),
    "middle": (0.31, -0.08, 0.16),
    "low": (0.28, -0.34, 0.16),
    "across": (-0.16, -0.22, 0.16),
}
PAIRED_OUTWARD = 0.135  # at least so far from the midline where both hands move
OUTERMOST, LOWEST, HIGHEST = 0.40, -0.44, 0.39  # a hand's centre stays within the frame
BASE_PLACE = (0.0, -0.36, 0.18)
REST_PLACE = (0.10, -0.47, 0.12)


@dataclass(frozen=True)
class Build:
    """A signer's lengths, in fractions of the frame's side."""

    shoulder: float
    upper_arm: float
    forearm: float
    hand: float

    @classmethod
    def of(cls, signer: Signer) -> Build:
        """The average body, scaled."""
        return cls(_SHOULDER * signer.shoulders, _UPPER_ARM * signer.arms, _FOREARM * signer.arms, HAND * signer.hand)


def elbows(build: Build, wrists: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrists (T,3) -> elbows and reachable wrists, (T,3) each: two-link inverse kinematics.

    Of the circle of possible elbows the one that hangs lowest is taken, a little outward, and behind a low wrist but
    before a high one: so no wrist lies along that direction, where the choice would jump. A wrist out of reach is drawn
    in along its line to the shoulder.
    """
    shoulder = np.array((build.shoulder, 0.0, 0.0))
    line = wrists - shoulder
    distance = np.linalg.norm(line, axis=1, keepdims=True)
    direction = line / np.maximum(distance, 1e-6)
    upper, lower = build.upper_arm, build.forearm
    distance = np.clip(distance, abs(upper - lower) + 0.01, 0.995 * (upper + lower))
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    radius = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    forward = np.interp(wrists[:, 1], (-0.2, 0.1), (-0.6, 0.8))
    hanging = np.stack([np.full_like(forward, 0.45), np.full_like(forward, -1.0), forward], axis=1)
    aside = hanging - direction * (direction * hanging).sum(1, keepdims=True)
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-6)
    return shoulder + direction * along + aside * radius, shoulder + direction * distance
