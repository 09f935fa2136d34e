"""Predicted spans and their boundaries against plain loops and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.corpora.manifest import SignSpan
from glossfree.report.locating import (
    boundaries,
    guess_from_length,
    iou,
    locate_all,
    measure_location,
    nearest_sign,
    predicted_span,
)
from glossfree.report.pointing import Pair, TimedClip
from glossfree.serving.translations import around_peak

FPS = 12.5


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.5, 0.9, 0.45, 0.44, 0.9], (1, 4)),  # half of the peak counts; another peak behind a gap does not
        ([0.8, 0.1, 0.1], (0, 1)),
        ([0.1, 0.1, 0.8], (2, 3)),
        ([0.4, 0.8, 0.4], (0, 3)),
        ([0.0, 0.0, 0.0], (0, 3)),  # no peak: the whole clip
        ([np.nan, 0.2, 0.05], (1, 2)),
        ([0.3], (0, 1)),
    ],
)
def test_the_span_is_all_around_the_peak_that_is_half_as_high(scores: list[float], expected: tuple[int, int]) -> None:
    assert around_peak(np.array(scores)) == expected


def test_spans_of_random_scores_follow_the_rule_step_by_step() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        scores = rng.random(rng.integers(1, 12)) ** 2
        first = peak = int(np.argmax(scores))
        while first > 0 and scores[first - 1] >= scores[peak] / 2:
            first -= 1
        last = peak + 1
        while last < len(scores) and scores[last] >= scores[peak] / 2:
            last += 1
        assert around_peak(scores) == (first, last)


def test_segments_reach_halfway_to_their_neighbours() -> None:
    middles = np.array([0, 2, 4, 6, 8, 10])  # of 11 frames; their edges: 0 1.5 3.5 5.5 7.5 9.5 11
    assert predicted_span(np.array([0, 0, 0.2, 0.3, 0, 0]), middles, 11) == (3.5, 7.5)
    assert predicted_span(np.array([1, 0, 0, 0, 0, 0]), middles, 11) == (0.0, 1.5)
    assert predicted_span(np.array([0, 0, 0, 0, 0, 1]), middles, 11) == (9.5, 11.0)


def test_iou_is_that_of_sets_of_frames() -> None:
    for start in range(8):
        for end in range(start + 1, 9):
            sign = SignSpan("A", 3, 7)
            ours, truth = set(range(start, end)), set(range(3, 7))
            assert iou((start, end), sign) == len(ours & truth) / len(ours | truth)


def test_boundaries_by_hand() -> None:
    found = boundaries((3.5, 7.5), [SignSpan("A", 20, 30), SignSpan("A", 3, 9)], FPS)
    assert found == pytest.approx(
        {
            "start error, frames": 0.5,
            "end error, frames": 1.5,
            "start error, s": 0.04,
            "end error, s": 0.12,
            "IoU": 4 / 6,
            "IoU at least 50 %": 1.0,
        }
    )


def test_far_from_all_signs_the_nearest_counts() -> None:
    signs = [SignSpan("A", 0, 2), SignSpan("A", 10, 12), SignSpan("A", 30, 33)]
    assert nearest_sign((14, 16), signs) == signs[1]
    assert nearest_sign((23, 25), signs) == signs[2]
    assert nearest_sign((1, 11.5), signs) == signs[1]


def test_the_guess_from_the_length_is_the_middle_half() -> None:
    middles = np.arange(40)
    assert predicted_span(guess_from_length(middles, 40), middles, 40) == (10, 30)
    assert guess_from_length(np.array([0, 19, 39]), 40) == pytest.approx([0.025, 0.975, 0.025])


def pair() -> Pair:
    """11 frames in 6 segments; the sign is in frames 3 to 6, and scores point at frames 5.5 to 9.5."""
    scores = np.array([0.1, 0.1, 0.2, 0.9, 0.5, 0.1])
    return Pair(0, scores, np.array([0, 2, 4, 6, 8, 10]), (SignSpan("A", 3, 7),))


def test_chance_is_the_mean_over_all_places_of_the_run_s_own_span() -> None:
    values = measure_location(pair(), 11, FPS)
    edges = [0, 1.5, 3.5, 5.5, 7.5, 9.5, 11]
    places = [(edges[n], edges[n + 2]) for n in range(5)]
    overlaps, starts = [], []
    for start, end in places:
        shared = max(0.0, min(end, 7) - max(start, 3))
        overlaps.append(shared / (end - start + 4 - shared))
        starts.append(abs(start - 3))
    assert values["IoU"].run == pytest.approx(1.5 / 6.5)
    assert values["IoU"].chance == pytest.approx(np.mean(overlaps))
    assert values["start error, frames"].chance == pytest.approx(np.mean(starts))
    assert values["start error, s"].chance == pytest.approx(np.mean(starts) / FPS)


def test_peaks_and_rankings_beside_chance_and_the_length() -> None:
    values = measure_location(pair(), 11, FPS)
    inside = values["peak inside the sign"]
    # segments at 4 and 6 are inside, the peak is at 6; the guess peaks at 4 and 6, which are equally near the middle
    assert (inside.run, inside.chance, inside.length_alone) == (1.0, pytest.approx(2 / 6), 1.0)
    assert values["mAP inside the sign"].run == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert values["mAP inside the sign"].length_alone == 1.0


def test_all_pairs_and_their_groups() -> None:
    timeline = np.stack([pair().scores, 1 - pair().scores], axis=1)
    middles = pair().middles
    clips = {
        "one": TimedClip(timeline, middles, (SignSpan("GRÜN", 3, 7), SignSpan("ROT", 0, 2), SignSpan("BLAU", 8, 9))),
        "two": TimedClip(timeline, middles, (SignSpan("GRUEN", 8, 10),)),
        "three": TimedClip(timeline, middles, (SignSpan("BLAU", 8, 10),)),
    }
    result = locate_all(clips, dict.fromkeys(clips, (11, FPS)), ("grün", "rot"), {"grün": 2, "rot": 40})
    assert result is not None
    assert (result.clips, result.overall.pairs) == (2, 3)
    ious = [1.5 / 6.5, 100, 1.5 / 4.5]  # grün in one, rot in one, grün in two
    ious[1] = iou(predicted_span(timeline[:, 1], middles, 11), SignSpan("ROT", 0, 2))
    assert result.overall.values["IoU"].run == pytest.approx(100 * np.mean(ious))
    assert result.overall.values["start error, s"].run == pytest.approx(np.mean([2.5, 0, 2.5]) / FPS)
    assert [(each.name, each.pairs) for each in result.by_length] == [("2", 2), ("3-4", 1)]
    assert result.by_length[1].values["IoU"].run == pytest.approx(100 * ious[0])
    assert [(each.name, each.pairs) for each in result.by_frequency] == [("1-2", 2), ("11-100", 1)]
    assert result.by_frequency[0].values["IoU"].run == pytest.approx(100 * (ious[0] + ious[2]) / 2)
    assert set(result.clip_map) == {"one", "two"}
    assert locate_all({"three": clips["three"]}, {"three": (11, FPS)}, ("grün", "rot"), {}) is None
