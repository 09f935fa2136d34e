"""Rows, cells and bars on one time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glossfree.corpora.manifest import SignSpan
from glossfree.report.pointing import TimedClip, segment_middles
from glossfree.report.timeline import HeatRow, ReportClip, cell_edges, choose_rows, heat_rows, sign_labels, ticks


def rows(timeline: np.ndarray, names: tuple[str, ...], frames_per_segment: int = 2, **more: Any) -> list[HeatRow]:
    """The rows of a clip of 11 frames, all of which the model saw."""
    frames = np.zeros((11, 16, 16, 3), np.uint8)
    middles = segment_middles(len(timeline), np.arange(11), range(0, 11, frames_per_segment))
    timed = TimedClip(timeline, middles, ())
    return heat_rows(ReportClip("a", "r", "h", 12.5, frames=frames, timed=timed, names=names, **more))


def test_cells_meet_halfway_and_fill_the_axis():
    # 5 frames, segments in the middle of frames 0, 2, 4, whose centres are 0.5, 2.5, 4.5.
    assert cell_edges(np.array([0, 2, 4]), 5).tolist() == [0, 1.5, 3.5, 5]
    assert cell_edges(np.array([0]), 2).tolist() == [0, 2]


def test_rows_are_the_highest_peaks_and_all_expected_ones():
    names = tuple("abcdefghijkl")
    timeline = np.tile(np.arange(12) / 100, (5, 1))
    timeline[3, 0] = 0.0005  # "a" is the weakest of all
    chosen = choose_rows(timeline, names, ("a", "not in the inventory"))
    assert names[chosen[0]] == "a"
    assert sorted(names[row] for row in chosen[1:]) == list("efghijkl")


def test_expected_rows_follow_their_peaks():
    timeline = np.zeros((5, 3))
    timeline[[4, 1, 2], [0, 1, 2]] = 0.3
    assert choose_rows(timeline, ("x", "y", "z"), ("x", "y", "z")) == [1, 2, 0]


@pytest.mark.parametrize(
    ("frames_per_segment", "num_segments", "cell"), [(1, 11, (3, 1)), (2, 6, (5.5, 2)), (3, 4, (8, 3))]
)
def test_cells_are_as_wide_as_segments(frames_per_segment: int, num_segments: int, cell: tuple[float, float]) -> None:
    """Segment 3 looks at frame 3, 6 or 9 of 11, whose centres are half a frame further on."""
    timeline = np.zeros((num_segments, 2))
    timeline[3, 1] = 0.2
    span = SignSpan("FUENFZEHN", 5, 8)
    first, second = rows(timeline, ("fünfzehn", "nebel"), frames_per_segment, spans=(span,))
    assert first.cells == () and first.truth == (span,)
    assert second.cells == ((*cell, 1.0),) and second.truth == ()
    assert second.peak == pytest.approx((cell[0] + cell[1] / 2) / 12.5)


def test_scores_stand_beside_their_rows():
    (row,) = rows(np.full((6, 1), 0.125), ("regen",), expected=("regen",))
    assert (row.total, row.is_expected, len(row.values), len(row.edges)) == (0.75, True, 6, 7)


def test_nan_does_not_break_the_page():
    assert all(row.cells == () and row.total == 0 for row in rows(np.full((6, 2), np.nan), ("a", "b")))


def test_labels_reach_halfway_to_their_neighbours():
    spans = SignSpan("A", 2, 4), SignSpan("B", 8, 9), SignSpan("C", 9, 11)
    assert [label[1:] for label in sign_labels(spans, 14)] == [(0, 6), (8, 9), (9, 11)]
    assert sign_labels((), 7) == []


def test_ticks_are_round_seconds():
    assert ticks(2.6) == [0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert ticks(0.3) == pytest.approx([0, 0.1, 0.2])
