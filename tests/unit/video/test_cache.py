"""Decoded clips in shared memory."""

from __future__ import annotations

import multiprocessing
import pickle
import sys

import numpy as np
import pytest

from glossfree.video.cache import FrameCache

NUM_FRAMES, SIZE = (3, 2, 5), 4
FRAME = SIZE * SIZE * 3


def filled(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(1, 256, size=(NUM_FRAMES[index], SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (3 * FRAME - 1, 0), (3 * FRAME, 1), (9 * FRAME, 2), (10**6, 3)])
def test_the_first_clips_that_fit_are_kept(limit: int, kept: int):
    cache = FrameCache(NUM_FRAMES, SIZE, limit)
    assert [cache.has_room(index) for index in range(3)] == [index < kept for index in range(3)]
    for index in range(kept):
        assert cache.get(index) is None
        cache.put(index, filled(index))
    for index in range(3):
        frames = cache.get(index)
        assert (frames is not None) == (index < kept)
        if frames is not None:
            np.testing.assert_array_equal(frames, filled(index))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_what_a_forked_worker_keeps_is_there_for_all():
    cache = FrameCache(NUM_FRAMES, SIZE, 10**6)
    worker = multiprocessing.get_context("fork").Process(target=cache.put, args=(2, filled(2)))
    worker.start()
    worker.join()
    frames = cache.get(2)
    assert frames is not None and cache.get(0) is None
    np.testing.assert_array_equal(frames, filled(2))


def test_a_pickled_cache_arrives_empty():
    cache = FrameCache(NUM_FRAMES, SIZE, 10**6)
    cache.put(1, filled(1))
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.kept == 3 and copy.get(1) is None
    assert cache.get(1) is not None


def test_no_clips_need_no_room():
    assert FrameCache([], SIZE, 10**6).kept == 0
