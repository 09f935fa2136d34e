"""A gloss sequence -> a clip of somebody signing it, with the true span of every sign."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from glossfree.avatar.draw import draw_clip
from glossfree.avatar.motion import (
    REST_SECONDS,
    TRANSITION_SECONDS,
    Habit,
    join,
    pause_frames,
    rest_pose,
    sign_frames,
    sign_poses,
)
from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signs import Sign, sign_of
from glossfree.corpora.manifest import SignSpan

FPS = 12.5
_PLACE_SLIP = 0.010  # fraction of the frame, standard deviation per sign


@dataclass(frozen=True)
class SignedSentence:
    """Glosses, signed by one of the nine signers; the same fields give the same pixels (a manifest.Drawing).

    `seed` moves what chance moves: pace, size, places, durations, camera noise. `fps` in frames per second: the pace
    of signing does not depend on it. `signs`, one per gloss, where they come out of a `lexicon`; else each gloss has
    the sign that its name gives it. Without a gloss the signer stands still for half a second. Raises ValueError: no
    such signer, signs of another length, fps not above 0.
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
    def _chance(self) -> tuple[Habit, np.ndarray, np.ndarray]:
        """Habit of the clip, duration factors (G,), slips of place (G,3); the same at every call."""
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
        habit, factors, _ = self._chance
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
        """(T,63) pose of every frame; see `motion`."""
        habit, _, slips = self._chance
        rest, between, lengths = self._layout
        last = rest_pose()[0]
        pieces = [np.repeat(last[None], rest, axis=0)]
        for sign, frames, slip in zip(self._signs, lengths, slips, strict=True):
            phase = np.concatenate([[0.0], (np.arange(frames) + 0.5) / frames, [1.0]])
            poses = sign_poses(sign, habit, phase, slip)
            pieces += [join(last, poses[0], between), poses[1:-1]]
            last = poses[-1]
        rested = rest_pose()[0]
        return np.concatenate([*pieces, join(last, rested, between), np.repeat(rested[None], rest, axis=0)])

    def render(self, size: int) -> np.ndarray:
        """(T,size,size,3) uint8 RGB, the same pixels at every call."""
        return draw_clip(self.poses(), self.signer, size, self.fps, self._rng("camera"))

    def _rng(self, purpose: str) -> np.random.Generator:
        """Chance that depends on the fields only, a stream of its own for each purpose."""
        key = "/".join((purpose, str(self.signer), str(self.seed), *self.glosses))
        return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
