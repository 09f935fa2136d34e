"""When the frames of a clip are shown, and which frames a segment, another rate or a model's sample takes.

T frames; times in seconds. Each frame of a video has its own time: phones and screen recorders vary the rate, cameras
state a wrong one, and cuts from a recording begin at any time. The number of sampled frames depends on the clip alone,
not on random draws, so batches can be planned from the manifest. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glossfree.corpora.manifest import PackedClip, Segment
from glossfree.errors import name_some

SAME_RATE = 0.02  # relative difference up to which two rates count as equal: 29.97 and 30 do, 24 and 25 do not
FEWEST = 3  # frames that a clip needs to be signing: they give two segments
JITTER = 1.5  # frames by which a frame may deviate from even spacing if the rate is to count as constant
TICK = 1e-3  # seconds to which Matroska and WebM round times
BEYOND = 0.25  # seconds by which a segment may end after its video, since annotations are rounded


def evenly(total: int, count: int) -> np.ndarray:
    """At most `count` of the numbers 0 .. total-1, ascending, spread evenly over all of them."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))


def usual_rate(clips: Sequence[PackedClip]) -> float:
    """The median clip's frames per second."""
    return sorted(clip.fps for clip in clips)[len(clips) // 2]


def mixed_rates(clips: Sequence[PackedClip]) -> str:
    """A description of the clips' rates if they differ or vary, else ""."""
    rates, varying = [clip.fps for clip in clips], [clip.id for clip in clips if clip.times]
    if max(rates) <= min(rates) * (1 + SAME_RATE) and not varying:
        return ""
    which = f", {len(varying):,} of a varying rate ({name_some(varying, limit=3)})" if varying else ""
    return f"clips of {min(rates):g} to {max(rates):g} frames/s{which}"


@dataclass(frozen=True)
class Timeline:
    """`times` (T,) float64: when each frame appears, ascending from 0; `seconds`: when the last one ends."""

    times: np.ndarray
    seconds: float

    @classmethod
    def constant(cls, num_frames: int, fps: float) -> Timeline:
        """T frames at one rate."""
        return cls(np.arange(num_frames) / fps, num_frames / fps)

    @classmethod
    def of(cls, clip: PackedClip) -> Timeline:
        """When the frames of a packed clip are shown."""
        if not clip.times:
            return cls.constant(clip.num_frames, clip.fps)
        return cls(np.asarray(clip.times), clip.num_frames / clip.fps)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return round(len(self) / self.seconds, 6)

    @property
    def is_constant(self) -> bool:
        """Whether no frame deviates by more than JITTER frames from even spacing."""
        even = np.linspace(0, self.times[-1], len(self))
        return bool(np.abs(self.times - even).max() * self.fps <= JITTER)

    def has_rate(self, fps: float) -> bool:
        """Whether the clip already has this rate; 0 means its own rate."""
        return not fps or (self.is_constant and abs(self.fps / fps - 1) <= SAME_RATE)

    def at_rate(self, fps: float) -> np.ndarray:
        """The frames (int64, ascending, with repeats) that show the clip at `fps`; all of them if it `has_rate`.

        Each new frame is the old frame with the nearest midpoint, the earlier one in a tie: from 24 to 8 frames/s, the
        second of every three.
        """
        if self.has_rate(fps):
            return np.arange(len(self))
        return self.shown_in(Timeline.constant(max(1, round(self.seconds * fps)), fps))

    def shown_in(self, other: Timeline, start: float = 0.0) -> np.ndarray:
        """The frame (int64) with the nearest midpoint for each frame of another timeline, which begins at `start`."""
        edges = (self.middles[:-1] + self.middles[1:]) / 2
        return np.searchsorted(edges + 1e-9, start + other.middles)

    @property
    def middles(self) -> np.ndarray:
        """(T,) the second in the middle of each frame."""
        middles: np.ndarray = (self.times + np.append(self.times[1:], self.seconds)) / 2
        return middles

    def part(self, segment: Segment) -> tuple[int, int]:
        """The frames [first, last) of a segment. Raises ValueError if it ends after the video or holds no frame."""
        if segment.unit == "frames":
            first, last = round(segment.start), len(self) if segment.end is None else round(segment.end)
            has, beyond = f"{len(self)} frames", last > len(self) + BEYOND * self.fps
        else:
            end = self.seconds if segment.end is None else segment.end
            first, last = (int(edge) for edge in np.searchsorted(self.times, [segment.start - TICK, end - TICK]))
            has, beyond = f"{self.seconds:.2f} s", end > self.seconds + max(BEYOND, 1 / self.fps)
        if first >= len(self) or beyond:
            raise ValueError(f"the segment {segment} reaches beyond the end of the video, which has {has}")
        last = min(last, len(self))
        if first < 0 or last <= first:
            raise ValueError(f"no frame in the segment {segment}")
        return first, last

    def cut(self, first: int, last: int) -> Timeline:
        """The frames [first, last) as a clip that begins at 0."""
        end = self.times[last] if last < len(self) else self.seconds
        return Timeline(self.times[first:last] - self.times[first], float(end - self.times[first]))


def timeline_from_times(file_times: np.ndarray, stated_fps: float) -> Timeline:
    """Frame times (T,) from a file, ascending from any start, and the rate it states -> Timeline.

    The stated rate is used only if the times confirm it; this also removes the file's rounding. If the rate varies, the
    last frame is shown as long as the one before it.
    """
    times = file_times - file_times[0]
    if len(times) == 1:
        return Timeline.constant(1, stated_fps)
    measured = (len(times) - 1) / times[-1]
    stated = np.arange(len(times)) / stated_fps
    if np.abs(times - stated).max() <= max(TICK, 0.25 / stated_fps):
        return Timeline.constant(len(times), stated_fps)
    even = Timeline(times, len(times) / measured)
    if even.is_constant:
        return even
    return Timeline(times, float(2 * times[-1] - times[-2]))


@dataclass(frozen=True)
class Sampling:
    """The frames of a clip that the network sees: at `fps` frames per second (0: the clip's own rate), every
    `stride`-th of them, at most `max_frames`."""

    fps: float = 0.0
    stride: int = 1
    max_frames: int = 300

    def length(self, timeline: Timeline) -> int:
        """The number of frames that `indices` returns."""
        return self.count(len(timeline.at_rate(self.fps)))

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> np.ndarray:
        """The frames of a clip that are used, ascending; a clip of a lower rate repeats some. See `sample`."""
        frames = timeline.at_rate(self.fps)
        return np.take(frames, self.sample(len(frames), rng))

    def count(self, num_frames: int) -> int:
        """Frames at `fps` -> how many are used: min(ceil(num_frames / stride), max_frames).

        Raises ValueError unless all three are at least 1.
        """
        if min(num_frames, self.stride, self.max_frames) < 1:
            raise ValueError(f"num_frames >= 1 and stride, max_frames >= 1 expected, got {num_frames} and {self}")
        return min(-(-num_frames // self.stride), self.max_frames)

    def sample(self, num_frames: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Frames at `fps` -> strictly increasing int64 indices into them, `count` of them.

        Up to `max_frames` steps of `stride`: every stride-th frame, from frame 0 or, with `rng`, from a random phase in
        [0, stride); the last index never exceeds the last frame, so that no phase costs a frame. Longer clips are cut
        into `max_frames` stretches whose lengths differ by one frame at most; the middle of each is taken or, with
        `rng`, any frame of it. The clip is always covered from start to end: no part of a sentence can be left out.
        """
        count = self.count(num_frames)
        if -(-num_frames // self.stride) <= self.max_frames:
            phase = 0 if rng is None else int(rng.integers(self.stride))
            return np.minimum(np.arange(count, dtype=np.int64) * self.stride + phase, num_frames - 1)
        edges = np.arange(count + 1, dtype=np.int64) * num_frames // count
        if rng is None:
            return (edges[:-1] + edges[1:] - 1) // 2
        return rng.integers(edges[:-1], edges[1:])


ALL_FRAMES = Sampling()
