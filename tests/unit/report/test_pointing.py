"""Peaks against true spans, counted by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from glossfree.corpora.manifest import SignSpan
from glossfree.report.pointing import Pointing, TimedClip, average_precision, fold, measure_pointing, segment_middles

INVENTORY = ("fünfzehn", "regen", "sonne")


def timeline(num_segments: int, **peaks: int) -> np.ndarray:
    values = np.full((num_segments, len(INVENTORY)), 0.01)
    for name, segment in peaks.items():
        values[segment, [fold(word) for word in INVENTORY].index(name)] = 0.5
    return values


@pytest.mark.parametrize(
    ("gloss", "lemma"), [("FUENFZEHN", "fünfzehn"), ("GROSS", "groß"), ("MAERZ", "März"), ("Regen", "regen")]
)
def test_glosses_meet_lemmas(gloss, lemma):
    assert fold(gloss) == fold(lemma)


def pointing(
    scores: np.ndarray, spans: tuple[SignSpan, ...], seen: np.ndarray, frames_per_segment: int = 2
) -> Pointing:
    """The measure of one clip whose `seen` frames the model saw."""
    clip = TimedClip(scores, segment_middles(len(scores), seen, range(0, len(seen), frames_per_segment)), spans)
    result = measure_pointing([clip], INVENTORY)
    assert result is not None
    return result


def test_segments_look_at_every_second_frame():
    assert segment_middles(4, np.arange(7), range(0, 7, 2)).tolist() == [0, 2, 4, 6]
    assert segment_middles(2, np.array([3, 6, 9]), [0, 2]).tolist() == [3, 9]
    with pytest.raises(ValueError, match="3 segments do not come from 7 frames"):
        segment_middles(3, np.arange(7), range(0, 7, 2))


@pytest.mark.parametrize("middles", [list(range(7)), [0, 3, 6], [0, 4], [3]])
def test_a_temporal_module_says_where_its_segments_lie(middles):
    assert segment_middles(len(middles), np.arange(7), middles).tolist() == middles
    seen = np.arange(5, 26, 3)
    expected = [5 + 3 * middle for middle in middles]
    assert segment_middles(len(middles), seen, middles).tolist() == expected
    with pytest.raises(ValueError, match=f"{len(middles) + 1} segments do not come from 7 frames"):
        segment_middles(len(middles) + 1, seen, middles)


def test_a_peak_is_where_its_segment_looks():
    """Segment 3 of 1 frame each looks at frame 3, of 2 at frame 6, of 3 at frame 9."""
    for frames_per_segment, number, start in ((1, 11, 3), (2, 6, 6), (3, 4, 9)):
        for at in range(11):
            spans = (SignSpan("REGEN", at, at + 1),)
            result = pointing(timeline(number, regen=3), spans, np.arange(11), frames_per_segment)
            assert result.rates["peak inside the sign"][0] == 100.0 * (at == start), (frames_per_segment, at)


def test_hits_and_chance_by_hand():
    # 11 frames -> segments in the middle of 0 2 4 6 8 10. REGEN is signed in frames 3..6 (segments 2, 3).
    spans = (SignSpan("REGEN", 3, 7), SignSpan("FUENFZEHN", 8, 11), SignSpan("WOLKE", 0, 3))
    result = pointing(timeline(6, regen=3, fuenfzehn=3), spans, np.arange(11))
    # WOLKE has no pseudo-gloss; fünfzehn peaks at frame 6: 2 frames early.
    assert result.pairs == 2
    assert result.rates["peak inside the sign"][0] == 50.0
    assert result.rates["peak within 2 frames of the sign"][0] == 100.0
    assert result.rates["peak inside the sign"][1] == pytest.approx(100 * (2 / 6 + 2 / 6) / 2)
    assert result.rates["peak within 2 frames of the sign"][1] == pytest.approx(100 * (4 / 6 + 3 / 6) / 2)


def test_a_repeated_sign_is_one_pair():
    spans = (SignSpan("REGEN", 0, 2), SignSpan("REGEN", 8, 10))
    result = pointing(timeline(5, regen=4), spans, np.arange(10))
    assert (result.pairs, result.rates["peak inside the sign"][0], result.rates["peak inside the sign"][1]) == (
        1,
        100.0,
        40.0,
    )


def test_sampled_frames_are_mapped_back():
    # The model saw frames 1, 4, 7, 10 of 12: segment 1 looks at frame 7.
    result = pointing(timeline(2, regen=1), (SignSpan("REGEN", 7, 8),), np.array([1, 4, 7, 10]))
    assert result.rates["peak inside the sign"][0] == 100.0


def test_nothing_in_common_is_none():
    clip = TimedClip(timeline(3), segment_middles(3, np.arange(5), range(0, 5, 2)), (SignSpan("WOLKE", 0, 5),))
    assert measure_pointing([clip], INVENTORY) is None
    assert measure_pointing([], INVENTORY) is None


def ap_of_order(relevant: list[bool], order: tuple[int, ...]) -> float:
    """The textbook definition for one order without ties."""
    hits, total = 0, 0.0
    for rank, segment in enumerate(order, start=1):
        if relevant[segment]:
            hits += 1
            total += hits / rank
    return total / hits


def test_average_precision_is_the_mean_over_all_orders_of_equal_scores():
    """Against a loop over all 5,040 rankings of 7 segments: those that keep the order of unequal scores count."""
    rng = np.random.default_rng(3)
    for levels in (1, 2, 3, 7, 50):  # one level: everything equal, which is chance
        scores = rng.integers(0, levels, 7).astype(np.float64)
        relevant = rng.permutation([True, True, True, False, False, False, False])
        orders = [order for order in permutations(range(7)) if (np.diff(scores[list(order)]) <= 0).all()]
        expected = np.mean([ap_of_order(relevant.tolist(), order) for order in orders])
        assert average_precision(scores, relevant) == pytest.approx(expected, abs=1e-12)


def test_average_precision_by_hand():
    relevant = np.array([False, True, False, True, False])
    assert average_precision(np.array([0.1, 0.9, 0.2, 0.8, 0.3]), relevant) == 1.0
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1, np.nan]), relevant) == pytest.approx((1 / 2 + 2 / 4) / 2)
    with pytest.raises(ValueError, match="no segment"):
        average_precision(np.zeros(3), np.zeros(3, bool))


def test_chance_of_a_random_ranking_is_exact_and_above_the_share_of_segments():
    relevant = np.arange(11) < 3
    rng = np.random.default_rng(0)
    drawn = np.mean([average_precision(rng.random(11), relevant) for _ in range(4000)])
    chance = average_precision(np.zeros(11), relevant)
    assert chance == pytest.approx(drawn, abs=0.01) and chance > 3 / 11


def test_mean_average_precision_by_hand():
    # Segments look at frames 0 2 4 6 8: regen (frames 3..6) is in segments 2 and 3, ranked 1 and 3.
    scores = np.zeros((5, 3))
    scores[:, 1] = [0.3, 0.1, 0.9, 0.2, 0.05]
    scores[:, 2] = 1.0
    # SONNE is signed in frame 1 alone, which no segment looks at: a miss without chance, and no ranking.
    spans = (SignSpan("REGEN", 3, 7), SignSpan("SONNE", 1, 2))
    result = pointing(scores, spans, np.arange(9))
    assert result.pairs == 2
    assert result.rates["mAP inside the sign"][0] == pytest.approx(100 * (1 / 1 + 2 / 3) / 2)
    naive = np.mean([ap_of_order([False, False, True, True, False], order) for order in permutations(range(5))])
    assert result.rates["mAP inside the sign"][1] == pytest.approx(100 * naive)
    assert result.rates["mAP within 2 frames of the sign"][0] > 0
