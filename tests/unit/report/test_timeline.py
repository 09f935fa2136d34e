"""Rows, cells and bars on one time axis."""

from __future__ import annotations

import re

import numpy as np
import pytest

from glossfree.corpora.manifest import SignSpan
from glossfree.report.data import ReportClip
from glossfree.report.spans import segment_frames
from glossfree.report.timeline import cell_edges, choose_rows, timeline_table


def clip(timeline: np.ndarray, names: tuple[str, ...], **more: object) -> ReportClip:
    frames = np.zeros((11, 16, 16, 3), np.uint8)
    return ReportClip("a", "r", "h", 12.5, frames=frames, timeline=timeline, names=names, **more)  # type: ignore[arg-type]


def test_cells_meet_halfway_and_fill_the_axis():
    # 5 frames, segments in the middle of frames 0, 2, 4, whose centres are 0.5, 2.5, 4.5.
    assert cell_edges(segment_frames(3, 5), 5).tolist() == [0, 1.5, 3.5, 5]
    assert cell_edges(segment_frames(1, 2), 2).tolist() == [0, 2]


def test_rows_are_the_highest_peaks_and_all_expected_ones():
    names = tuple("abcdefghijkl")
    timeline = np.tile(np.arange(12) / 100, (5, 1))
    timeline[3, 0] = 0.0005  # "a" is the weakest of all
    rows = choose_rows(timeline, names, ("a", "not in the inventory"))
    assert names[rows[0]] == "a"
    assert sorted(names[row] for row in rows[1:]) == list("efghijkl")


def test_expected_rows_follow_their_peaks():
    timeline = np.zeros((5, 3))
    timeline[[4, 1, 2], [0, 1, 2]] = 0.3
    assert choose_rows(timeline, ("x", "y", "z"), ("x", "y", "z")) == [1, 2, 0]


def test_heat_lies_under_the_true_span():
    timeline = np.zeros((6, 2))
    timeline[3, 1] = 0.2  # segment 3 looks at frame 6: cell [5.5, 7.5)
    html = timeline_table(clip(timeline, ("nebel", "fünfzehn"), spans=(SignSpan("FUENFZEHN", 5, 8),)))
    cells = re.findall(r'<rect x="([\d.]+)" width="([\d.]+)" height="1" opacity="([\d.]+)"', html)
    assert cells == [("5.5", "2", "1.00")]
    truth = re.search(r'class="truth" style="left:([\d.]+)%;width:([\d.]+)%"', html)
    bar = re.search(r'class="bar" style="left:([\d.]+)%;width:([\d.]+)%"', html)
    assert truth is not None and bar is not None and truth.groups() == bar.groups()
    assert [float(share) for share in truth.groups()] == pytest.approx([100 * 5 / 11, 100 * 3 / 11], abs=0.01)


@pytest.mark.parametrize(
    ("frames_per_segment", "num_segments", "cell"), [(1, 11, ("3", "1")), (2, 6, ("5.5", "2")), (3, 4, ("8", "3"))]
)
def test_cells_are_as_wide_as_segments(frames_per_segment: int, num_segments: int, cell: tuple[str, str]) -> None:
    """Segment 3 looks at frame 3, 6 or 9 of 11, whose centres are half a frame further on."""
    timeline = np.zeros((num_segments, 2))
    timeline[3, 1] = 0.2
    html = timeline_table(clip(timeline, ("nebel", "regen"), frames_per_segment=frames_per_segment))
    assert re.findall(r'<rect x="([\d.]+)" width="([\d.]+)"', html) == [cell]


def test_scores_stand_beside_their_rows():
    timeline = np.full((6, 1), 0.125)
    html = timeline_table(clip(timeline, ("regen",), expected=("regen",)))
    assert '<td class="sum">0.75</td>' in html and "in the reference" in html


def test_numbers_that_are_none_do_not_break_the_page():
    html = timeline_table(clip(np.full((6, 2), np.nan), ("a", "b")))
    assert "nan" not in html


def test_a_timeline_of_another_length_is_refused():
    with pytest.raises(ValueError, match="7 segments do not come from 11 frames"):
        timeline_table(clip(np.zeros((7, 1)), ("a",)))
