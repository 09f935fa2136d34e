"""A clip's length -> the frames that are used."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from glossfree.video.sampling import sample_frames, sampled_length


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 7, 11, 13, 29, 64, 97, 301, 475])
def test_indices_rise_inside_the_clip_and_are_as_many_as_promised(num_frames: int):
    rng = np.random.default_rng(num_frames)
    for stride, max_frames in itertools.product((1, 2, 3, 5, 500), (1, 2, 7, 300)):
        expected = min(len(range(0, num_frames, stride)), max_frames)
        assert sampled_length(num_frames, stride, max_frames) == expected
        for source in (None, *[rng] * 20):
            indices = sample_frames(num_frames, stride=stride, max_frames=max_frames, rng=source)
            assert indices.dtype == np.int64
            assert indices.shape == (expected,)
            assert indices[0] >= 0 and indices[-1] < num_frames
            assert (np.diff(indices) > 0).all()


def test_without_chance_it_is_every_stride_th_frame():
    assert sample_frames(11, stride=3, max_frames=300).tolist() == [0, 3, 6, 9]
    assert sample_frames(7, stride=1, max_frames=7).tolist() == list(range(7))


def test_too_long_a_clip_is_covered_evenly():
    indices = sample_frames(475, stride=1, max_frames=300)
    assert set(np.diff(indices)) <= {1, 2, 3}
    assert indices[0] <= 1 and indices[-1] >= 473
    assert abs(indices.mean() - 237) < 1


def test_every_phase_is_drawn_and_equally_often():
    rng = np.random.default_rng(3)
    starts = [sample_frames(31, stride=3, max_frames=300, rng=rng)[0] for _ in range(3000)]
    assert np.bincount(starts).min() > 900 and set(starts) == {0, 1, 2}


def test_jitter_reaches_every_frame_of_a_long_clip():
    rng = np.random.default_rng(5)
    seen = {int(i) for _ in range(200) for i in sample_frames(23, stride=1, max_frames=5, rng=rng)}
    assert seen == set(range(23))


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-3, 1, 5)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int, int]):
    with pytest.raises(ValueError, match="expected"):
        sampled_length(*sizes)
    with pytest.raises(ValueError, match="expected"):
        sample_frames(sizes[0], stride=sizes[1], max_frames=sizes[2])
