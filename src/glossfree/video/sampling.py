"""A clip's length and rate -> which of its frames are used.

The number of frames depends on the clip alone, never on the draw: batches can be planned from the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glossfree.video.timeline import Timeline


@dataclass(frozen=True)
class Sampling:
    """What of a clip the network sees: `fps` frames per second (0: all frames), of these every `stride`-th, and at most
    `max_frames`."""

    fps: float = 0.0
    stride: int = 1
    max_frames: int = 300

    def length(self, timeline: Timeline) -> int:
        """How many frames `indices` takes."""
        at_rate = timeline.at_rate(self.fps)
        return sampled_length(len(timeline) if at_rate is None else len(at_rate), self.stride, self.max_frames)

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> np.ndarray:
        """The frames of a clip that are used, ascending; a clip of a lower rate repeats some. See `sample_frames`."""
        at_rate = timeline.at_rate(self.fps)
        count = len(timeline) if at_rate is None else len(at_rate)
        indices = sample_frames(count, stride=self.stride, max_frames=self.max_frames, rng=rng)
        return indices if at_rate is None else at_rate[indices]


ALL_FRAMES = Sampling()


def sampled_length(num_frames: int, stride: int, max_frames: int) -> int:
    """How many frames `sample_frames` takes: min(ceil(num_frames / stride), max_frames).

    Raises ValueError unless all three are at least 1.
    """
    if min(num_frames, stride, max_frames) < 1:
        raise ValueError(f"num_frames, stride, max_frames >= 1 expected, got {num_frames}, {stride}, {max_frames}")
    return min(-(-num_frames // stride), max_frames)


def sample_frames(
    num_frames: int, *, stride: int, max_frames: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """A clip of `num_frames` frames -> strictly increasing int64 indices into it, `sampled_length` of them.

    Up to `max_frames` steps of `stride`: every stride-th frame, from frame 0 or, with `rng`, from a random phase in
    [0, stride); the last index is held inside the clip, so that no phase costs a frame. Longer clips are cut into
    `max_frames` stretches that differ by one frame at most; the middle of each is taken or, with `rng`, any frame of it
    (the whole clip is always covered: a sentence has no part that may be left out).
    """
    count = sampled_length(num_frames, stride, max_frames)
    if -(-num_frames // stride) <= max_frames:
        phase = 0 if rng is None else int(rng.integers(stride))
        return np.minimum(np.arange(count, dtype=np.int64) * stride + phase, num_frames - 1)
    edges = np.arange(count + 1, dtype=np.int64) * num_frames // count
    if rng is None:
        return (edges[:-1] + edges[1:] - 1) // 2
    return rng.integers(edges[:-1], edges[1:])
