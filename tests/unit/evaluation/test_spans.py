"""Peaks against true spans, counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glossfree.corpora.manifest import SignSpan
from glossfree.evaluation.spans import Pointing, TimedClip, fold, pointing, segment_frames

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


def test_segments_look_at_every_second_frame():
    assert segment_frames(4, 7).tolist() == [0, 2, 4, 6]
    assert segment_frames(2, 30, np.array([3, 6, 9])).tolist() == [3, 9]
    with pytest.raises(ValueError, match="3 segments do not come from 7 frames"):
        segment_frames(3, 7)


def test_hits_and_chance_by_hand():
    # 11 frames -> segments in the middle of 0 2 4 6 8 10. REGEN is signed in frames 3..6 (segments 2, 3).
    spans = (SignSpan("REGEN", 3, 7), SignSpan("FUENFZEHN", 8, 11), SignSpan("WOLKE", 0, 3))
    hit = TimedClip("a", timeline(6, regen=3, fuenfzehn=3), spans, 11)
    result = pointing([hit], INVENTORY)
    assert result is not None
    # WOLKE has no pseudo-gloss; fünfzehn peaks at frame 6: 2 frames early.
    assert (result.pairs, result.clips, result.pseudo_glosses) == (2, 1, 2)
    assert result.hit_rate == {0: 50.0, 2: 100.0}
    assert result.chance[0] == pytest.approx(100 * (2 / 6 + 2 / 6) / 2)
    assert result.chance[2] == pytest.approx(100 * (4 / 6 + 3 / 6) / 2)


def test_a_repeated_sign_is_one_pair():
    spans = (SignSpan("REGEN", 0, 2), SignSpan("REGEN", 8, 10))
    result = pointing([TimedClip("a", timeline(5, regen=4), spans, 10)], INVENTORY, tolerances=(0,))
    assert result == Pointing(1, 1, 1, {0: 100.0}, {0: pytest.approx(40.0)})


def test_targets_limit_the_count():
    spans = (SignSpan("REGEN", 0, 2), SignSpan("SONNE", 3, 5))
    clip = TimedClip("a", timeline(3, regen=0, sonne=2), spans, 5, targets=frozenset({"sonne"}))
    result = pointing([clip], INVENTORY)
    assert result is not None and result.pairs == 1


def test_sampled_frames_are_mapped_back():
    # The model saw frames 1, 4, 7, 10 of 12: segment 1 looks at frame 7.
    clip = TimedClip("a", timeline(2, regen=1), (SignSpan("REGEN", 7, 8),), 12, frames=np.array([1, 4, 7, 10]))
    result = pointing([clip], INVENTORY)
    assert result is not None and result.hit_rate[0] == 100.0


def test_nothing_in_common_is_none():
    assert pointing([TimedClip("a", timeline(3), (SignSpan("WOLKE", 0, 5),), 5)], INVENTORY) is None
    assert pointing([], INVENTORY) is None


def test_pointing_survives_json():
    result = Pointing(3, 2, 3, {0: 66.7, 2: 100.0}, {0: 20.0, 2: 31.5})
    assert Pointing.from_dict(json.loads(json.dumps(result.to_dict()))) == result
