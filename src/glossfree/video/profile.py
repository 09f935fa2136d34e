"""What the clips that a model is trained on look like: rate, aspect, length, light, stillness at both ends.

`prepare` writes it into `corpus.json`, training keeps it with the run, and `export` with the model, so that a clip from
elsewhere can be compared with them, and brought to what the model knows. Plain values for JSON, well below 8 kB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import ClipError
from glossfree.video.pack import read_clip
from glossfree.video.signer import SignerProfile, signer_profile
from glossfree.video.timeline import Timeline

LOOKED_AT = 48  # training clips whose frames are looked at, spread evenly over the split
LONGEST = 600  # frames of a clip that is looked at: the memory for it stays small
HEIGHT = 48  # pixels of the small grey frames that stillness and light are read from
MOVES = 0.25  # of the way from the stillest to the liveliest frames: above it something moves


def profile_of(manifest: Manifest) -> dict[str, Any]:
    """A prepared corpus -> the profile of its training clips (of all clips where it has no training split).

    {"clips", "fps": [lowest, highest], "seconds": [shortest, median, longest], "aspect" and "light" (0 to 255):
    [low, median, high], "rest": {"start" and "end": [median, longest]} in seconds, "signer": see `video.signer`}; what
    is not known is left out.
    """
    clips = [clip for clip in manifest.clips if clip.split == "train"] or list(manifest.clips)
    rates = [clip.fps for clip in clips]
    profile: dict[str, Any] = {
        "clips": len(clips),
        "fps": [min(rates), max(rates)],
        "seconds": _spread([clip.num_frames / clip.fps for clip in clips], 0, 100),
    }
    if aspects := [clip.aspect for clip in clips if clip.aspect]:
        profile["aspect"] = _spread(aspects, 5, 95)
    rests: list[tuple[float, float]] = []
    light: list[float] = []

    def looked_at() -> Iterator[np.ndarray]:
        for clip in evenly([clip for clip in clips if clip.num_frames <= LONGEST], LOOKED_AT):
            try:
                frames = read_clip(manifest.folder / clip.file)
            except ClipError:
                continue
            small = grey(list(frames))
            rests.append(rest(small, Timeline.of(clip)))
            light.append(float(small.mean()))
            yield frames

    signer = signer_profile(looked_at(), profile.get("aspect", (0, 1, 0))[1])
    if signer is not None:
        starts, ends = zip(*rests, strict=True)
        profile["light"] = _spread(light, 5, 95)
        profile["rest"] = {"start": _spread(starts, 50, 100)[1:], "end": _spread(ends, 50, 100)[1:]}
        profile["signer"] = signer
    return profile


def checked_profile(values: Any) -> dict[str, Any]:
    """A profile as a file holds it -> the same. Raises ValueError where it is none."""
    try:
        for name, size in {"fps": 2, "seconds": 3, "aspect": 3, "light": 3}.items():
            if name in values and not (len(values[name]) == size and np.isfinite(values[name]).all()):
                raise ValueError(f"{name} is {values[name]!r}")
        for end in ("start", "end") if "rest" in values else ():
            usual, longest = values["rest"][end]
            if not 0 <= usual <= longest:
                raise ValueError(f"rest is {values['rest']!r}")
        if values.get("signer") is not None:
            SignerProfile.from_dict(values["signer"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no profile of training clips ({error})") from error
    return dict(values)


def evenly(clips: Sequence[PackedClip], count: int) -> list[PackedClip]:
    """At most `count` clips, spread evenly."""
    if not clips:
        return []
    return [clips[index] for index in np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int))]


def grey(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames (H, W, 3) uint8 -> (T, HEIGHT, w) float32, small: camera noise is averaged away."""
    width = max(8, round(HEIGHT * frames[0].shape[1] / frames[0].shape[0]))
    small = [cv2.resize(frame, (width, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]).astype(np.float32)


def rest(frames: np.ndarray, timeline: Timeline) -> tuple[float, float]:
    """Small grey frames (T, h, w) -> seconds of stillness before the signing begins, and after it has ended.

    A frame moves where its liveliest hundredth of pixels differs from the frame before by clearly more than in the
    stillest frames of the clip. A clip in which nothing moves has no rest, since it has no signing.
    """
    if len(frames) < 4:
        return 0.0, 0.0
    changes = np.array([np.percentile(np.abs(b - a), 99) for a, b in pairwise(frames)])
    low, high = np.percentile(changes, [5, 75])
    moving = np.flatnonzero(changes > low + MOVES * (high - low))
    if not len(moving):
        return 0.0, 0.0
    first, last = int(moving[0]), int(moving[-1]) + 1
    return float(timeline.times[first]), float(timeline.seconds - timeline.times[last])


def _spread(values: Sequence[float], low: float, high: float) -> list[float]:
    """[Low percentile, median, high percentile] of some values."""
    return [round(float(value), 3) for value in np.percentile(values, [low, 50, high])]
