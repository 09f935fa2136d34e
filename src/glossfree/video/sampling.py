"""A clip's length -> which of its frames are used.

The number of frames depends on the length alone, never on the draw: batches can be planned from the manifest.
"""

from __future__ import annotations

import numpy as np


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
