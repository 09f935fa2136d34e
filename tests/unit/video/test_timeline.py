"""Time: frames at another rate, segments, and the rates that files state."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from glossfree.corpora.manifest import PackedClip, Segment
from glossfree.video.timeline import Sampling, Timeline, evenly, timeline_from_times

PHONE = Timeline(np.concatenate([np.arange(30) / 30, 1 + np.arange(20) / 5]), 5.0)  # 30/s for 1 s, then 5/s for 4 s


@pytest.mark.parametrize("fps", [12.0, 24.0, 29.97, 59.94, 7.5])
def test_resampling_takes_the_frame_whose_middle_is_nearest(fps: float) -> None:
    timeline = Timeline.constant(41, fps)
    indices = timeline.at_rate(8.0)
    assert len(indices) == round(41 / fps * 8)
    for number, index in enumerate(indices):
        distances = np.abs((np.arange(41) + 0.5) / fps - (number + 0.5) / 8)
        assert distances[index] <= distances.min() + 1e-9


def test_the_same_rate_changes_nothing() -> None:
    for fps, other in ((30.0, 29.97), (24.0, 0.0)):
        assert Timeline.constant(41, fps).at_rate(other).tolist() == list(range(41))
    assert len(Timeline.constant(41, 24.0).at_rate(25.0)) == 43


def test_frames_of_a_varying_rate_are_resampled_by_time() -> None:
    assert (PHONE.fps, PHONE.is_constant) == (10.0, False)
    indices = PHONE.at_rate(10.0)
    assert len(indices) == 50
    assert indices[:9].tolist() == [1, 4, 7, 10, 13, 16, 19, 22, 25]
    assert indices[10:16].tolist() == [30, 30, 31, 31, 32, 32]


def test_one_lost_frame_in_a_long_clip_does_not_make_the_rate_vary() -> None:
    times = np.delete(np.arange(120) / 25, 60)
    assert Timeline(times, 120 / 25).is_constant


def test_a_single_frame_can_be_repeated() -> None:
    indices = Timeline.constant(1, 2.0).at_rate(8.0)
    assert indices.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (Segment(1.0, 2.0), (25, 50)),
        (Segment(0.0, None), (0, 75)),
        (Segment(2.98, 3.2), (75, 75)),
        (Segment(1.001, 1.0405), (25, 26)),
        (Segment(10, 13, "frames"), (10, 13)),
        (Segment(70, None, "frames"), (70, 75)),
        (Segment(70, 78, "frames"), (70, 75)),
    ],
)
def test_a_segment_holds_the_frames_shown_in_it(segment: Segment, expected: tuple[int, int]) -> None:
    timeline = Timeline.constant(75, 25.0)
    if expected[0] == expected[1]:
        with pytest.raises(ValueError, match="segment"):
            timeline.part(segment)
    else:
        assert timeline.part(segment) == expected


@pytest.mark.parametrize(
    "segment", [Segment(3.5, 4), Segment(2, 9), Segment(80, 81, "frames"), Segment(60, 99, "frames")]
)
def test_segments_beyond_the_end_are_refused(segment: Segment) -> None:
    with pytest.raises(ValueError, match="beyond the end"):
        Timeline.constant(75, 25.0).part(segment)


def test_a_cut_begins_at_its_own_zero() -> None:
    part = PHONE.cut(28, 34)
    assert part.times.round(3).tolist() == [0.0, 0.033, 0.067, 0.267, 0.467, 0.667]
    assert part.seconds == pytest.approx(2 / 30 + 4 / 5)
    assert PHONE.cut(40, 50).seconds == pytest.approx(2.0)


@pytest.mark.parametrize("true", [24.0, 25.0, 30000 / 1001, 50.0])
@pytest.mark.parametrize("stated", [25.0, 1000.0, 8.0])
def test_a_wrong_stated_rate_is_ignored(true: float, stated: float) -> None:
    """Times as Matroska has them, whole milliseconds, from 5 s on."""
    timeline = timeline_from_times(5 + np.round(np.arange(60) / true * 1000) / 1000, stated)
    assert timeline.fps == pytest.approx(true, rel=1e-3)
    assert timeline.is_constant and timeline.times[0] == 0


def test_a_correct_stated_rate_is_used_exactly() -> None:
    timeline = timeline_from_times(np.round(np.arange(60) * 1001 / 30) / 1000, 30000 / 1001)
    assert timeline.fps == round(30000 / 1001, 6)
    assert np.array_equal(timeline.times, np.arange(60) / (30000 / 1001))


def test_numbers_are_spread_evenly() -> None:
    assert evenly(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert evenly(3, 5).tolist() == [0, 1, 2] and evenly(0, 5).tolist() == []


def test_sampling_counts_after_resampling() -> None:
    clip = PackedClip("a", "train", "x", "a.mp4", 48, 24.0)
    sampling = Sampling(fps=8.0, stride=3, max_frames=5)
    indices = sampling.indices(Timeline.of(clip))
    assert sampling.length(Timeline.of(clip)) == len(indices) == 5
    assert Sampling(8.0).indices(Timeline.of(clip)).tolist() == list(range(1, 48, 3))
    varying = PackedClip("b", "train", "x", "b.mp4", 50, 10.0, times=tuple(PHONE.times))
    assert Sampling(10.0).length(Timeline.of(varying)) == 50
    assert Sampling(10.0).indices(Timeline.of(varying))[3] == 10


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 7, 11, 13, 29, 64, 97, 301, 475])
def test_indices_ascend_inside_the_clip_and_match_the_count(num_frames: int):
    rng = np.random.default_rng(num_frames)
    for stride, max_frames in itertools.product((1, 2, 3, 5, 500), (1, 2, 7, 300)):
        expected = min(len(range(0, num_frames, stride)), max_frames)
        assert Sampling(0, stride, max_frames).count(num_frames) == expected
        for source in (None, *[rng] * 20):
            indices = Sampling(0, stride, max_frames).sample(num_frames, source)
            assert indices.dtype == np.int64
            assert indices.shape == (expected,)
            assert indices[0] >= 0 and indices[-1] < num_frames
            assert (np.diff(indices) > 0).all()


def test_without_a_random_state_every_stride_th_frame_is_taken():
    assert Sampling(stride=3, max_frames=300).sample(11).tolist() == [0, 3, 6, 9]
    assert Sampling(stride=1, max_frames=7).sample(7).tolist() == list(range(7))


def test_too_long_a_clip_is_covered_evenly():
    indices = Sampling(stride=1, max_frames=300).sample(475)
    assert set(np.diff(indices)) <= {1, 2, 3}
    assert indices[0] <= 1 and indices[-1] >= 473
    assert abs(indices.mean() - 237) < 1


def test_every_phase_is_drawn_and_equally_often():
    rng = np.random.default_rng(3)
    starts = [Sampling(stride=3, max_frames=300).sample(31, rng)[0] for _ in range(3000)]
    assert np.bincount(starts).min() > 900 and set(starts) == {0, 1, 2}


def test_jitter_reaches_every_frame_of_a_long_clip():
    rng = np.random.default_rng(5)
    seen = {int(i) for _ in range(200) for i in Sampling(stride=1, max_frames=5).sample(23, rng)}
    assert seen == set(range(23))


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-3, 1, 5)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int, int]):
    with pytest.raises(ValueError, match="expected"):
        Sampling(0, *sizes[1:]).count(sizes[0])
    with pytest.raises(ValueError, match="expected"):
        Sampling(0, *sizes[1:]).sample(sizes[0])
