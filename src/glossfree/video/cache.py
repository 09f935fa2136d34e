"""Decoded clips in memory, shared by all workers of a loader."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np


class FrameCache:
    """Room for the frames (T, size, size, 3) uint8 of the first clips that fit into `limit` bytes together.

    The memory is one anonymous shared mapping: workers that are forked (Linux) fill and read the same pages, so it is
    paid once whatever their number, and it is taken only as it fills. Pickled into a spawned worker (macOS, Windows)
    the cache arrives empty and that worker fills its own. Two workers may write one clip at once: the same bytes.
    """

    def __init__(self, num_frames: Sequence[int], size: int, limit: int) -> None:
        self.num_frames, self.size, self.limit = tuple(num_frames), size, limit
        ends = np.cumsum(np.asarray(self.num_frames, dtype=np.int64)) * size * size * 3
        self.kept = int(np.searchsorted(ends, limit, side="right"))  # the clips 0 .. kept-1 have room
        self._starts = np.concatenate([[0], ends])
        self._bytes = _shared_bytes(int(self._starts[self.kept]))
        self._filled = _shared_bytes(self.kept)

    def __getstate__(self) -> dict[str, Any]:
        return {"num_frames": self.num_frames, "size": self.size, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def has_room(self, index: int) -> bool:
        """Whether this clip belongs to those that are kept."""
        return index < self.kept

    def get(self, index: int) -> np.ndarray | None:
        """The frames (T, size, size, 3) of a clip, not to be written to, or None if they are not here."""
        return self._slot(index) if index < self.kept and self._filled[index] else None

    def put(self, index: int, frames: np.ndarray) -> None:
        """Keep the frames of a clip that `has_room`."""
        self._slot(index)[:] = frames
        self._filled[index] = 1

    def _slot(self, index: int) -> np.ndarray:
        start, end = self._starts[index], self._starts[index + 1]
        return self._bytes[start:end].reshape(self.num_frames[index], self.size, self.size, 3)


def _shared_bytes(count: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, max(count, 1)), dtype=np.uint8)
